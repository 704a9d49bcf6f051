"""The float reference."""
