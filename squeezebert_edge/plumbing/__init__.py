"""What knows nothing of SqueezeBERT: progress, the reader of files, files that appear whole, journals."""
