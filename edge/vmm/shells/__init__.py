"""Shells: an engine with memory mapped, ready for a machine; images as a worker holds them; which engine serves whom."""
