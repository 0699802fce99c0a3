"""The network plane: which service may open a connection to which, and what enforces it."""
