"""HTTP as clients see it: connections, requests, what they are asked of, and answers as bytes.

It asks the supervisor for an answer and knows nothing of machines or workers.
"""
