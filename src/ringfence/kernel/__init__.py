"""Floor 0: money, ids, time, digests and decisions; pure, standard library only (limbs.py adds numba)."""
