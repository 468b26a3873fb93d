"""An origin and its edges as an operator would start them, what they use, and a client that measures."""
