"""A fleet on paper: requests by Zipf through the edge's own policies, to see what grows and what breaks first.

Placement, eviction, health and gates are imported from where edges have them, never written again here.
"""
