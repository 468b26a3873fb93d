"""Devices: the gate, the console, the clock and its timer, disks and logs, exchanges with upstreams.

Each checks what the guest wrote, once.
"""
