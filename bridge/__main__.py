"""`python -m bridge`: the same as the installed command."""

from bridge.cli.main import main

main()
