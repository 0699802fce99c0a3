"""Lets `python -m ringfence` be the command line."""

from ringfence.cli.main import main

if __name__ == "__main__":
    main()
