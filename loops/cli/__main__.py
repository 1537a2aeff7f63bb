"""`python -m loops.cli` runs the command `basin`."""

from loops.cli.main import main

main()
