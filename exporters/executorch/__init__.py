"""ExecuTorch: a program (.pte) with one method per length, for XNNPACK."""
