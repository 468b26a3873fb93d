"""Devices: the gate, the console, the clock and its timer. Each checks what the guest wrote, once."""
