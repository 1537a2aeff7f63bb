"""`python -m loops.cli` is the command `basin`."""

from loops.cli.main import main

main()
