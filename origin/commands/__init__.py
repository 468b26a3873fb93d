"""The commands of publishers and of origins' operators: options in, results on stdout, progress on stderr.

They put the other rooms together and decide nothing.
"""
