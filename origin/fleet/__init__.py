"""An origin and its edges: the feed that reaches them all at once, and what they say of themselves.

Events are kept before they are sent, and their number stands in the signed timestamp; edges are known by heart-beats.
"""
