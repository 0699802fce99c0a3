"""Floor 6: the command line. Importing this package stays light, so that `--help` answers at once."""

from ringfence.cli.main import main

__all__ = ["main"]
