"""Publishing: which requests bring images, disks and signed metadata to an origin, decided without I/O; and their client."""
