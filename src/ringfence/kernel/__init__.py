"""Floor 0: money, ids, time, digests and decisions; pure. NumPy and numba in `limbs` and `compiled` only."""
