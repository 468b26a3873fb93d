"""Fuzzing: hostile guest code in real workers, frames both ways, and every parser. `make fuzz` runs it for long."""
