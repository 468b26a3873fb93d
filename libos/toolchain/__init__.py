"""From sources to ELF files: the pinned compiler, packages of languages, and Linux programs with musl."""
