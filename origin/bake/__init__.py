"""From a program to an image: compiled, run until it is ready, and kept as it then stands.

The one room of the origin that imports the VMM.
"""
