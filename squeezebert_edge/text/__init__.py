"""Text to tokens, windows and tensors."""
