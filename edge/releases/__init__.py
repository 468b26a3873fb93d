"""Releases in stages: which visitor gets a candidate, what it is measured by, and when an edge stops sending to it.

Who gets what and what is too bad are pure decisions; `releases` carries them out on top of the supervisor.
"""
