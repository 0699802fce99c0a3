"""What changes from one policy to the next, in sentences, and whether each change widens or narrows.

A change *widens* where something may happen that could not happen before: a gate more, a key less in the
way, a higher cap, a claim less. It *narrows* where less may happen. Everything else only *changes*: owners,
names, whatever has no more and no less, and whatever has both.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ringfence.kernel.money import show_decimal
from ringfence.policy.digest import canonical_value
from ringfence.policy.grammar import Block, Decimals, Path, Word
from ringfence.policy.language import POLICY
from ringfence.policy.language.assets import ASSET, ENTITY, INSTRUMENT, KEY, PARTY, PRICE_AUTHORITY
from ringfence.policy.language.claims import CLAIM, SERVICE
from ringfence.policy.language.walls import (
    ADOPTION,
    BUCKET_LIMITS,
    CALL,
    COMPARTMENT,
    EXCHANGE,
    GATE,
    HALT,
    THRESHOLDS,
    WATERFALL,
)
from ringfence.policy.model import Cap, Condition, Gate, KeyNeed, Limits, Model, Policy, Quorum
from ringfence.policy.phrases import show_cap, show_condition, show_need
from ringfence.policy.selectors import pairs
from ringfence.policy.show import decimals_of
from ringfence.policy.widening import (
    Direction,
    Judge,
    at_most_direction,
    band_direction,
    bounds_direction,
    cap_direction,
    haircut_direction,
    more_narrows,
    more_widens,
    needs_direction,
    opposite,
    presence_narrows,
    rank,
    takeover_direction,
    tiers_direction,
    trade_direction,
    unclear,
)
from ringfence.policy.yaml_text import write_flow


@dataclass(frozen=True, slots=True)
class Change:
    """One sentence of a difference.

    direction: whether more may happen, less, or neither can be said; where: the line in the new policy, or in
    the old one for what is gone.
    """

    direction: Direction
    words: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.direction}: {self.words}"


def diff(old: Policy, new: Policy) -> tuple[Change, ...]:
    """List every change of meaning from `old` to `new`, section by section; none where they mean the same."""
    return tuple(_changes(_Pair(old, new)))


@dataclass(frozen=True, slots=True)
class _Pair:
    """The two policies, and how each writes its amounts."""

    old: Policy
    new: Policy

    @property
    def decimals(self) -> Decimals:
        return {**decimals_of(self.old), **decimals_of(self.new)}

    def where(self, path: Path) -> str:
        return self.new.line(*path) or self.old.line(*path)


# --- which way each word goes ------------------------------------------------------------------

_ASKED = rank(None, "optional", "required")
_ENTRIES: dict[str, tuple[str, Block, Direction]] = {
    "assets": ("asset", ASSET, "changes"),
    "parties": ("party", PARTY, "changes"),
    "entities": ("entity", ENTITY, "changes"),
    "keys": ("key", KEY, "changes"),
    "prices": ("price", PRICE_AUTHORITY, "changes"),
    "instruments": ("instrument", INSTRUMENT, "widens"),
    "compartments": ("compartment", COMPARTMENT, "changes"),
    "gates": ("gate", GATE, "widens"),
    "exchanges": ("exchange", EXCHANGE, "widens"),
    "waterfalls": ("waterfall", WATERFALL, "changes"),
    "halts": ("halt", HALT, "changes"),
    "services": ("service", SERVICE, "changes"),
    "claims": ("claim", CLAIM, "narrows"),
}
"""For each section of entries: what one is called, its words, and what adding one does."""

_SETS: dict[str, Direction] = {
    "assets": "widens",
    "accepts": "widens",
    "accrual": "widens",
    "holds": "widens",
    "except": "widens",
    "without": "widens",
    "on": "narrows",
    "computed_by": "narrows",
    "when": "narrows",
    "cancel": "narrows",
    "compromised": "narrows",
    "plane": "narrows",
}
"""Words that are sets: what one more in the set does. Whatever comes or goes is a sentence of its own."""

_JUDGES: dict[str, Judge] = {
    "needs": needs_direction,
    "lift": needs_direction,
    "delay": more_narrows,
    "cooling": more_narrows,
    "cap": more_widens,
    "stale": more_widens,
    "price_band": more_widens,
    "leverage": more_widens,
    "drawdown": more_widens,
    "daily_loss": bounds_direction,
    "cure": more_widens,
    "standing": presence_narrows,
    "reason": lambda old, new: opposite(_ASKED(old, new)),
    "reverses": lambda old, new: opposite(_ASKED(old, new)),
    "pinned": rank(True, False),
    "crosses_entities": rank(False, True),
    "vault": rank("own", "shared"),
    "signs": rank("by_hand", "on_evidence"),
    "form": rank("signature", "session", "bearer"),
    "mode": rank("pivot", "contained"),
    "haircut": haircut_direction,
    "tiers": tiers_direction,
    "trade": trade_direction,
    "takes_over": takeover_direction,
    "at_most": at_most_direction,
    "at_least": more_narrows,
    "free": more_narrows,
    "warn": more_narrows,
    "at": more_narrows,
    "reduce_only": more_narrows,
    "liquidate": more_narrows,
    "stop_at": more_narrows,
}
_JUDGES_OF: dict[tuple[str, str], Judge] = {
    ("exchanges", "price"): band_direction,
    ("halts", "needs"): unclear,
}


# --- sections ----------------------------------------------------------------------------------


def _changes(pair: _Pair) -> Iterator[Change]:
    for word in POLICY.word_list:
        if word.name in _ENTRIES:
            yield from _entries(pair, word.name)
        elif word.name == "thresholds":
            yield from _thresholds(pair)
        elif word.name == "adoption":
            yield from _adoption(pair)
        elif word.name == "flows":
            yield from _flows(pair)
        elif word.name != "tiers":
            old, new = getattr(pair.old, word.name), getattr(pair.new, word.name)
            if canonical_value(old) != canonical_value(new):
                words = f"{word.name} {_shown(old)} → {_shown(new)}"
                yield Change("changes", words, pair.where((word.name,)))


def _entries(pair: _Pair, section: str) -> Iterator[Change]:
    title, block, added = _ENTRIES[section]
    old: Mapping[str, Model] = getattr(pair.old, section)
    new: Mapping[str, Model] = getattr(pair.new, section)
    for name in dict.fromkeys((*old, *new)):
        path = (section, name)
        if name not in old:
            content = block.show(new[name], pair.decimals, path)
            words = f"{title} {name} added: {write_flow(content if content is not None else {})}"
            yield Change(added, words, pair.where(path))
        elif name not in new:
            yield Change(opposite(added), f"{title} {name} removed", pair.old.line(*path))
        elif canonical_value(old[name].model_dump()) != canonical_value(new[name].model_dump()):
            yield from _words(pair, f"{title} {name}", path, block, old[name], new[name])


def _words(pair: _Pair, title: str, path: Path, block: Block, old: Model, new: Model) -> Iterator[Change]:
    for word in block.word_list:
        here = (*path, word.name)
        before, after = _field(old, word), _field(new, word)
        if isinstance(old, Gate) and isinstance(new, Gate) and word.name in ("from", "to", "between"):
            if word.name == "from":
                yield from _ends(pair, title, here, old, new)
        elif word.name == "limit":
            yield from _limits(pair, title, here, before, after)
        elif word.name == "limits" and before is not None and after is not None:
            yield from _words(pair, f"{title} limits", here, BUCKET_LIMITS, before, after)
        elif word.name == "lost_by_trading_at_most" and before is not None and after is not None:
            yield from _caps(pair, title, here, after.scope, before.caps, after.caps)
        elif word.name in _SETS and isinstance(before, tuple) and isinstance(after, tuple):
            yield from _set(pair, title, here, before, after)
        else:
            yield from _word(pair, title, here, block, word, old, new)


def _field(one: Model, word: Word) -> Any:
    return getattr(one, word.fills, None)


def _word(
    pair: _Pair, title: str, path: Path, block: Block, word: Word, old: Model, new: Model
) -> Iterator[Change]:
    """Compare a word by what is written: words that need several fields have no field of their own."""
    before = block.show_word(word, old, pair.decimals, path[:-1])
    after = block.show_word(word, new, pair.decimals, path[:-1])
    if canonical_value(before, word.name) == canonical_value(after, word.name):
        return
    judge = _JUDGES_OF.get((path[0], word.name), _JUDGES.get(word.name, unclear))
    has_field = word.fills in type(old).model_fields
    direction = judge(_field(old, word), _field(new, word)) if has_field else unclear(before, after)
    if word.name == "agree":
        direction = _agreement(old, new)
    yield Change(direction, f"{title} {_transition(word.name, before, after)}", pair.where(path))


def _agreement(old: Any, new: Any) -> Direction:
    """Judge an agreement of sources: fewer of them, or farther apart, lets more prices pass."""
    directions: set[Direction] = set()
    if old.agree_count != new.agree_count:
        directions.add(more_narrows(old.agree_count, new.agree_count))
    if old.agree_ppm != new.agree_ppm:
        directions.add(more_widens(old.agree_ppm, new.agree_ppm))
    return directions.pop() if len(directions) == 1 else "changes"


def _transition(word: str, before: Any, after: Any) -> str:
    if before is None:
        return f"{word} added: {write_flow(after)}"
    if after is None:
        return f"{word} removed: {write_flow(before)}"
    return f"{word} {write_flow(before)} → {write_flow(after)}"


# --- words with sentences of their own ---------------------------------------------------------


def _ends(pair: _Pair, title: str, path: Path, old: Gate, new: Gate) -> Iterator[Change]:
    before, after = dict.fromkeys(pairs(old)), dict.fromkeys(pairs(new))
    for source, target in before | after:
        if (source, target) not in before:
            yield Change("widens", f"{title} opens {source} → {target}", pair.where(path))
        elif (source, target) not in after:
            yield Change("narrows", f"{title} closes {source} → {target}", pair.where(path))


def _set(pair: _Pair, title: str, path: Path, old: tuple[Any, ...], new: tuple[Any, ...]) -> Iterator[Change]:
    word = path[-1]
    added = _SETS[word]
    if word == "accrual" and not (old and new):
        # Moving only what is owed is less than moving anything.
        added = "narrows"
    before = {_shown(one): one for one in old}
    after = {_shown(one): one for one in new}
    for name in before | after:
        if name not in before:
            yield Change(added, f"{title} {word} gains {name}", pair.where(path))
        elif name not in after:
            yield Change(opposite(added), f"{title} {word} loses {name}", pair.where(path))


def _limits(pair: _Pair, title: str, path: Path, old: Limits, new: Limits) -> Iterator[Change]:
    for asset in dict.fromkeys((*old.each_transfer, *new.each_transfer)):
        before, after = old.each_transfer.get(asset), new.each_transfer.get(asset)
        if before != after:
            digits = pair.decimals.get(asset, 0)
            was, is_now = (None if one is None else show_decimal(one, digits) for one in (before, after))
            words = f"{title} {was or 'no limit'} → {is_now or 'no limit'} {asset} in one transfer"
            yield Change(more_widens(before, after), words, pair.where(path))
    yield from _caps(pair, title, path, "each", old.each, new.each)
    yield from _caps(pair, title, path, "all", old.all, new.all)
    if old.valued_in != new.valued_in:
        words = f"{title} valued_in {old.valued_in or 'nothing'} → {new.valued_in or 'nothing'}"
        yield Change("changes", words, pair.where(path))


def _caps(
    pair: _Pair, title: str, path: Path, scope: str, old: Mapping[str, Cap], new: Mapping[str, Cap]
) -> Iterator[Change]:
    for asset in dict.fromkeys((*old, *new)):
        before, after = old.get(asset), new.get(asset)
        if before != after:
            words = f"{title} {_cap_words(before, after, asset, pair.decimals.get(asset, 0))}"
            people = "each member" if scope == "each" else "all together"
            yield Change(cap_direction(before, after), f"{words} ({people})", pair.where(path))


def _cap_words(before: Cap | None, after: Cap | None, asset: str, digits: int) -> str:
    if before is not None and after is not None and before.window == after.window:
        window = show_cap(after, digits).split(" ", 1)[1]
        was, is_now = show_decimal(before.units, digits), show_decimal(after.units, digits)
        return f"{was} → {is_now} {asset} {_day(window)}"
    was, is_now = (
        "no limit" if cap is None else _day(show_cap(cap, digits).replace(" ", f" {asset} ", 1))
        for cap in (before, after)
    )
    tail = f" of {asset}" if "no limit" in (was, is_now) else ""
    return f"{was} → {is_now}{tail}"


def _day(window: str) -> str:
    """Say `per day` and `per hour` for the windows everybody uses."""
    return window.replace("per 1 d", "per day").replace("per 1 h", "per hour")


def _thresholds(pair: _Pair) -> Iterator[Change]:
    old, new = pair.old.thresholds, pair.new.thresholds
    path = ("thresholds",)
    if old is None or new is None:
        if old is not new:
            direction: Direction = "narrows" if old is None else "widens"
            yield Change(direction, f"thresholds {'added' if old is None else 'removed'}", pair.where(path))
        return
    for word in THRESHOLDS.word_list:
        if word.name == "call":
            yield from _words(pair, "thresholds call", (*path, "call"), CALL, old.call, new.call)
        else:
            yield from _word(pair, "thresholds", (*path, word.name), THRESHOLDS, word, old, new)


def _adoption(pair: _Pair) -> Iterator[Change]:
    """Compare who may change the policy: where nobody was named, nobody could widen it."""
    old, new = pair.old.adoption, pair.new.adoption
    path = ("adoption",)
    if old is None or new is None:
        if old is not new:
            direction: Direction = "widens" if old is None else "narrows"
            yield Change(direction, f"adoption {'added' if old is None else 'removed'}", pair.where(path))
        return
    yield from _words(pair, "adoption", path, ADOPTION, old, new)


def _flows(pair: _Pair) -> Iterator[Change]:
    before, after = _single_flows(pair.old), _single_flows(pair.new)
    for words in before | after:
        if words not in before:
            yield Change("widens", f"flow {words} added", pair.new.line("flows", str(after[words])))
        elif words not in after:
            yield Change("narrows", f"flow {words} removed", pair.old.line("flows", str(before[words])))


def _single_flows(policy: Policy) -> dict[str, int]:
    return {
        f"{source} → {target} port {flow.port}/{flow.protocol}": index
        for index, flow in enumerate(policy.flows)
        for source in flow.sources
        for target in flow.targets
    }


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, tuple):
        return f"[{', '.join(_shown(one) for one in value)}]"
    if isinstance(value, Model):
        return _model_words(value)
    return str(value)


def _model_words(value: Model) -> str:
    if isinstance(value, Condition):
        return show_condition(value)
    if isinstance(value, KeyNeed | Quorum):
        return show_need(value)
    return write_flow({name: str(one) for name, one in value.model_dump().items()})
