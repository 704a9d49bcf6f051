"""What an artifact loses on labelled data."""
