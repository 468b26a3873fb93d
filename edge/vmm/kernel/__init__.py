"""What the host's kernel gives a VMM: memfds, sockets that carry them, KVM's requests and layouts.

Numbers are the kernel's; what stands in for it elsewhere is here too.
"""
