"""The rules of meaning, one module for each kind of thing; the name of each rule says its law."""

from ringfence.policy.rules import assets, claims, gates, keys, names, network, unused, walls, waterfalls
from ringfence.policy.rules.view import Rule, View

RULES: tuple[Rule, ...] = (
    *names.RULES,
    *assets.RULES,
    *keys.RULES,
    *walls.RULES,
    *gates.RULES,
    *waterfalls.RULES,
    *network.RULES,
    *claims.RULES,
)
"""Rules about what stands there; they hold of the rest where an entry could not be read."""

WHOLE_RULES: tuple[Rule, ...] = (
    *assets.WHOLE_RULES,
    *walls.WHOLE_RULES,
    *waterfalls.WHOLE_RULES,
    *network.WHOLE_RULES,
    *claims.WHOLE_RULES,
    *unused.WHOLE_RULES,
)
"""Rules about what is missing; they say nothing while entries could not be read."""

__all__ = ["RULES", "WHOLE_RULES", "View"]
