"""A parent: what edges, and other parents, fetch from in an origin's place. It keeps what it has fetched and verified.

It has no machines and no keys: whoever fetches from it verifies everything again, so it may be anybody's.
"""
