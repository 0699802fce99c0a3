"""Where ids are looked for: 128 bits stirred into one word, compiled."""

import numpy as np

from ringfence.kernel.compiled import compiled_in_place

FACTORS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
SHIFT = np.uint64(29)


@compiled_in_place
def mix(state: np.uint64, word: np.uint64) -> np.uint64:
    """Stir one word into a hash."""
    mixed = (state ^ word) * FACTORS[1]
    mixed = (mixed ^ (mixed >> SHIFT)) * FACTORS[2]
    return mixed ^ (mixed >> SHIFT)
