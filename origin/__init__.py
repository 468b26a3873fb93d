"""What publishers and operators of origins run: keys, bake, publish, and the server that edges fetch from.

`bake` makes images, `publish` brings them to an origin, `registry` is that origin. They share only `model`.
"""
