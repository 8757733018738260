"""`python -m semcon`."""

from semcon.cli.main import main

main()
