"""Where an origin keeps its objects: a folder, or a bucket that several origins share. Bytes by key, and no more.

What is written how, so that nothing is torn and no writer is lost, `origin/storage/blobs.py` says.
"""
