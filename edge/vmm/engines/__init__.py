"""What executes a machine: one protocol, Unicorn and KVM behind it, and what each needs to keep it.

An engine knows memory and registers; it knows nothing of devices, requests or time slices.
"""
