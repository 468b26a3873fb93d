"""Requests: whose turn it is by Zipf's law, how fast they come, and what came of them."""
