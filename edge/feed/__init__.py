"""An origin's feed at an edge: purges, holds and news of the catalogue at once, and what the edge says of itself.

Whatever carries the feed may lose, repeat or reorder it: numbers, signatures and the origin's log make it whole.
"""
