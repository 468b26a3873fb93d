"""An operating system as a library, in C; in Python its build: compilers, packages from their sources, languages."""
