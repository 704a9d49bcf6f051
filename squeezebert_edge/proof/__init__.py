"""Whether an artifact equals the float model."""
