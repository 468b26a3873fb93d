"""What supervisor and worker say to each other: frames, and the page that says for whom a worker works.

Both sides import this and nothing of each other.
"""
