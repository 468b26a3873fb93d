"""The supervisor's half of what a guest has: disks and what it wrote to them, logs, upstreams, kept answers.

Each does for a guest what the guest cannot do itself, charges its tenant, and bounds it.
"""
