"""The origin's server: an OCI registry and the TUF catalogue beside it.

What may change in them is decided here, and what is kept on disk is kept durably.
"""
