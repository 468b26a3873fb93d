"""Answers that need no machine: what may be kept of guests' answers, for how long, for whom, and what makes it void.

What is decided here is decided without I/O and without a clock; `front` brings requests and answers, and the time. Only
`disk`, with what it stands on, has a file and a thread: for answers that memory has no room for.
"""
