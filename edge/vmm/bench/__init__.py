"""What the VMM costs by itself, without HTTP: programs that are run, not imported."""
