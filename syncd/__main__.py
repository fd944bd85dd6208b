"""`python -m syncd` is the command line."""

from syncd.cli import main

main()
