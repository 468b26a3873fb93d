"""Hot modules as C extensions, made by mypyc from the same source (`make fast`): a table, a build, and who loads them.

Without them, or with some that are not of the source that is here, everything runs as plain Python.
"""
