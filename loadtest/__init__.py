"""Load, measured from outside: it knows HTTP and the command line, and nothing inside.

`bench` and `cli` are the door; scenarios put sites, traffic and peers together; `report` is what came of it.
"""
