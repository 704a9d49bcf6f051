"""Core ML: an ML Program for iOS and macOS, written on any machine."""
