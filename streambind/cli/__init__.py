"""The `streambind` command."""

from streambind.cli.command import main

__all__ = ["main"]
