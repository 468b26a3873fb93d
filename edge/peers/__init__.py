"""The edges of one POP together: who of them owns what, and how one asks another.

Owners follow from a list of members alone, so that nobody has to be asked for them; `placement` decides, the rest does.
"""
