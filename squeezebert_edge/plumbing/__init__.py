"""What knows nothing of SqueezeBERT: progress, files that appear whole, journals."""
