"""`python -m streambind` is `streambind`."""

from streambind.cli import main

main()
