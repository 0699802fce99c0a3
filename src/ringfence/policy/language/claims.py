"""The words for what runs and what must hold: services, flows, claims."""

from typing import Any

from ringfence.policy import model, phrases
from ringfence.policy.forms import PLAIN_NAME, Choice, Entries, FreeText, Many, Name, Phrase, Whole
from ringfence.policy.grammar import Block, Decimals, Path, Plain, Reader, Show, Word
from ringfence.policy.language.assets import NAMES
from ringfence.policy.language.walls import PLANES
from ringfence.policy.source import Table
from ringfence.policy.value_forms import Bound, LossBound

SERVICE = Block(
    model.Service,
    "service",
    (
        Word("zone", PLAIN_NAME, "The zone it runs in; a zone grants nothing.", "zone: trading"),
        Word(
            "identity", FreeText("a SPIFFE id"), "Who it is to others.", 'identity: "spiffe://harbour/risk"'
        ),
        Word("holds", NAMES, "Keys it has.", "holds: [risk_key]"),
        Word(
            "carries",
            NAMES,
            "Keys whose signatures it passes on; it may drop, delay or reorder them, and never has the key.",
            "carries: [client_key]",
        ),
        Word("uid", Whole(1, 2**31), "The system user it runs as.", "uid: 2001"),
    ),
)

FLOW = Block(
    model.Flow,
    "flow",
    (
        Word("from", NAMES, "Who opens the connection.", "from: gateway", "sources"),
        Word("to", NAMES, "To whom.", "to: [matching, risk]", "targets"),
        Word("port", Whole(1, 65_535), "On which port.", "port: 7000"),
        Word("protocol", Choice(("tcp", "udp")), "How; tcp where it is not said.", "protocol: udp"),
        Word("purpose", FreeText("words"), "What for, in words.", 'purpose: "signed orders"'),
    ),
)

JOURNEY = Phrase(
    "a way such as `owner:client -> role:house_money`",
    phrases.parse_journey,
    phrases.show_journey,
    "bad-selector",
)
KEYS_OR_SERVICES = Many(
    Name("a key or service such as `risk` or `client_key/{a}`", rf"{phrases.NAME}(?:/{phrases.PART})?"),
    may_stand_alone=True,
)
_KIND_OF_WORD = {
    "never": "never",
    "moves": "moves",
    "lost_by_trading_at_most": "trading",
    "fewest": "fewest",
}
_NEEDED_WORDS = {
    "never": (),
    "moves": ("compromised", "mode", "plane", "at_most"),
    "trading": ("compromised", "mode", "plane"),
    "fewest": ("count", "plane", "at_least"),
}
_FITTING_WORDS = {
    "never": {"for", "never", "except", "without"},
    "moves": {"for", "moves", *_NEEDED_WORDS["moves"]},
    "trading": {"for", "lost_by_trading_at_most", *_NEEDED_WORDS["trading"]},
    "fewest": {"for", "fewest", *_NEEDED_WORDS["fewest"]},
}


def _finish_claim(reader: Reader, node: Table, path: Path, fields: dict[str, Any]) -> None:
    written = {key.text for key, _ in node.entries}
    kinds = [word for word in _KIND_OF_WORD if word in written]
    if len(kinds) != 1:
        found = f"claim `{path[-1]}` says {' and '.join(kinds) or 'nothing'}"
        right = "write exactly one of `never`, `moves`, `lost_by_trading_at_most` and `fewest`"
        reader.fail("missing-word", node.where, found, right)
        return
    kind = _KIND_OF_WORD[kinds[0]]
    _refuse_unfitting(reader, node, kinds[0], written)
    fields["kind"] = kind
    for word in ("never", "moves", "fewest"):
        if word in fields:
            fields["journey"] = fields.pop(word)


def _refuse_unfitting(reader: Reader, node: Table, said: str, written: set[str]) -> None:
    kind = _KIND_OF_WORD[said]
    for key, _ in node.entries:
        if key.text not in _FITTING_WORDS[kind]:
            found = f"`{key.text}` means nothing beside `{said}`"
            reader.fail("unfitting-word", key.where, found, "leave it out")
    missing = [word for word in _NEEDED_WORDS[kind] if word not in written]
    if missing:
        found = f"a claim with `{said}` has no {' and no '.join(f'`{word}`' for word in missing)}"
        reader.fail("missing-word", node.where, found, f"write {', '.join(missing)}")


def _show_journey_of(kind: str) -> Show:
    def show(claim: model.Claim, _decimals: Decimals, _path: Path) -> Plain | None:
        if claim.kind != kind or claim.journey is None:
            return None
        return phrases.show_journey(claim.journey)

    return show


CLAIM = Block(
    model.Claim,
    "claim",
    (
        Word(
            "for",
            Entries(PLAIN_NAME, Name("a variable such as `a`", r"[a-z][a-z0-9_]*")),
            "Its variables and their families; distinct variables are distinct members.",
            "for: {a: client, b: client}",
            "members",
        ),
        Word(
            "never",
            JOURNEY,
            "No value ever gets from here to there…",
            'never: "owner:client -> role:house_money"',
            show=_show_journey_of("never"),
        ),
        Word(
            "except",
            NAMES,
            "…but by these accruals, accrual exchanges or waterfall steps…",
            "except: [fee, convert]",
            "exceptions",
        ),
        Word("without", KEYS_OR_SERVICES, "…unless one of these keys signs.", "without: [client_key]"),
        Word(
            "compromised", KEYS_OR_SERVICES, "Services and keys an attacker has.", "compromised: [matching]"
        ),
        Word(
            "mode",
            Choice(("contained", "pivot")),
            "`contained`: what they hold and may call; `pivot`: every service they can reach falls too.",
            "mode: pivot",
        ),
        Word(
            "plane", PLANES, "The planes on which it must hold, each for itself.", "plane: [ledger]", "planes"
        ),
        Word(
            "moves",
            JOURNEY,
            "What an attacker can move from here to there…",
            'moves: "client/** -> outside"',
            show=_show_journey_of("moves"),
        ),
        Word("at_most", Bound(), "…is no more than this.", "at_most: 0 per 1 d"),
        Word(
            "lost_by_trading_at_most",
            LossBound(),
            "What forged fills and prices can cost.",
            'lost_by_trading_at_most: {each: {USDC: "20000 per 1 d"}}',
            "trading_loss",
        ),
        Word(
            "fewest",
            JOURNEY,
            "The fewest thefts that get value from here to there…",
            'fewest: "client/** -> outside"',
            show=_show_journey_of("fewest"),
        ),
        Word("count", Choice(("keys", "services", "keys_and_services")), "…counted so…", "count: keys"),
        Word("at_least", Whole(1, 1000), "…are at least so many.", "at_least: 2"),
    ),
    _finish_claim,
)
