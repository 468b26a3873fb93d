"""One virtual machine: the life of a guest in a shell, its hypercalls, its report when it dies.

It is given time by a worker and says why it gave it back.
"""
