"""What every room uses and what knows no room: counters, log lines, guarded tasks, private files, shares by party.

Nothing here decides about requests or machines.
"""
