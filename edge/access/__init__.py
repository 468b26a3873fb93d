"""The access log: a line for each request, in a form that others read, written where nobody who is served waits for it.

Lines, outputs and the thread that writes; what a finished request is, `edge.model.finished` says.
"""
