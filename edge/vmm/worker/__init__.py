"""The worker process: its loop, what goes wrong in it and for whom, its outgoing frames, its memory limit.

`python -m edge.vmm.worker` is the process.
"""
