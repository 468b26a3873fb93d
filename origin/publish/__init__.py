"""Publishing: which requests bring images, disks and signed metadata to an origin, and the client that sends them.

What to send, and in which order, is decided without I/O.
"""
