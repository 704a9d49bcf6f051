"""A bundle: what is on disk, and what an opened one can be asked for."""
