"""Which services exist, verified: the signed catalogue, how its files are fetched, and what was looked up in it.

It knows no machine and no request; what it says of a service is a release, and nothing that is not signed.
"""
