"""Shells: an engine with memory mapped, ready for a machine; images as a worker holds them; which engine serves whom.

A shell is bound to one image at a time, and is compared before another comes.
"""
