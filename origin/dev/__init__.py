"""`nunatak dev`: a program under development, served by an edge of its own. Stands on both origin and edge."""
