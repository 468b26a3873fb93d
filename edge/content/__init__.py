"""Bytes by digest and by key: blobs from the origin, images ready for workers, tiers, and parked machines' records.

What comes in is verified here, once, and kept under budgets; what it is used for is others' business.
"""
