"""SqueezeBERT checkpoints on phones: export, proof and measurement. Importing this loads no runtime SDK."""

__version__ = "0.1.0"
