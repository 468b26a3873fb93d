"""Which machine serves whom: machines opened, given requests, parked, replaced, mourned, and who waits for them.

It alone knows services, machines, records and workers at once.
"""
