"""The supervisor's half of what a guest has: disks and what was written to them, logs, requests to upstreams, kept answers.

Each does for a guest what the guest cannot do itself, charges its tenant, and bounds it.
"""
