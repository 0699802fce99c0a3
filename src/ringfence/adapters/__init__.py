"""Floor 4: the outside world: stores, files, programs, sockets; no rule of its own."""
