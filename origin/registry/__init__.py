"""The origin's server: an OCI registry, the TUF catalogue beside it, what may change in them, and what is kept."""
