"""What a worker gives up before it runs the first guest: namespaces, files, capabilities, system calls."""
