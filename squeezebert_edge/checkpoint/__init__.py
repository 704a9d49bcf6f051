"""Hugging Face's files, read strictly."""
