"""Values shared by everyone: the architecture's numbers, images, snapshots, manifests, trust. No I/O, no clock."""
