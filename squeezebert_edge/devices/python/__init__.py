"""Machines that have Python: this one, and those behind ssh."""
