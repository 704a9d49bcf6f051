"""What each head is for, and the files of examples it is scored on."""
