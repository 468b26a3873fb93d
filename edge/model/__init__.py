"""Values that several rooms know: services and their machines, one request's stream, and the tables of their states.

No I/O and no clock: what follows from what is decided in `flow`.
"""
