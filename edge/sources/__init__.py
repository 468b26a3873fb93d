"""Where blobs and the catalogue come from: sources in order, their health, and how one stands in for another.

Nothing is believed because of where it came from: content is verified by its digest, metadata by its signatures.
"""
