"""The same network laid out for a runtime, each form equal to the reference."""
