"""Frozen bytes of every format that outlives a process or crosses a border between two."""
