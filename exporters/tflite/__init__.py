"""LiteRT: a model (.tflite) with one signature per length."""
