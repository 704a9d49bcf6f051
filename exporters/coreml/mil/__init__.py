"""Computes a Core ML program where there is no Mac, and says what it is made of."""
