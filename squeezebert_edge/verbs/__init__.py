"""What the command line does, for Python: a file per verb."""
