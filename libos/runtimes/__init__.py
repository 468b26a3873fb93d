"""A folder for each language, see `libos.languages`."""
