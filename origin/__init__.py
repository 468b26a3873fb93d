"""What publishers and operators of origins run: keys, bake, publish, and the server that edges fetch from."""
