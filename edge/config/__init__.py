"""The options of an edge as one checked value, and what an operator lets guests reach.

Values and pure checks: no part of an edge is made here.
"""
