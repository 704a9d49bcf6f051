"""Training classifiers. `train` is what is called; `config` is light, so that --help needs no torch."""
