"""`python -m squeezebert_edge`: the command line."""

from squeezebert_edge.cli import main

main()
