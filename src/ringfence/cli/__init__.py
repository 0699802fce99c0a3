"""Floor 6: the command line. Importing this package stays light, so that `--help` answers at once."""
