"""A folder of files as part of an image: read, checked, laid out. The libOS answers with them (`libos/assets`).

Everything that can be decided before there is a request is decided here: paths, types, header fields, variants.
"""
