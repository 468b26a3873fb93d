"""The operators' door: a listener of its own, who may use it, the pages behind it, and a line for each change.

Public listeners lead nowhere near it.
"""
