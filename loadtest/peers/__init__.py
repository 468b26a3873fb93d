"""Others who answer the same pages, each started on this machine, or saying what it lacks."""
