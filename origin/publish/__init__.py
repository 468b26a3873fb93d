"""Publishing, decided without I/O: which requests bring images, disks and signed metadata to an origin."""
