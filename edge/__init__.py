"""The edge node: it serves requests from virtual machines and keeps what is used in tiers.

The modules here are its door: options to a running edge. Each package is one room, and arrows between rooms point one
way: operators, front, supervisor, devices, workers and catalogue, model, content, then common, config and the VMM.
"""

from edge.compiled.finder import install

install()
