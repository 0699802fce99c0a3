"""The compiled rule is the readable rule: code for code, unit for unit, on random requests of every kind."""

from random import Random
from typing import Any

import pytest
from harbour import NOON, SERVICE_KEYS, TEXT, USDC, public_of, rules_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.kernel.decision import Accepted, Reason
from ringfence.kernel.instant import DAY_NS, Instant
from ringfence.planes.ledger.batch import Asked, BatchBook
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.conditions import Conditions
from ringfence.planes.ledger.operations import Freeze, Move, OpenMember, RegisterKey, Request, Signature

# One gate with a cap for a single transfer, which the harbour itself has none of.
FILL_POOL = TEXT[TEXT.index("  fill_pool:") : TEXT.index("  adjust:")]
CAPPED = TEXT.replace(FILL_POOL, FILL_POOL.replace("limit: {", 'limit: {each_transfer: {USDC: "70"}, '))
RULES = rules_of(CAPPED)
MEMBERS = ("alice", "bob")
PLACES = [
    "outside",
    "outside/alice",
    *(f"client/{member}/{name}" for member in (*MEMBERS, "zoe") for name in ("cash", "hedge", "directional")),
    "insurance/directional",
    "clearing",
    "house/rounding",
    "house/fees",
    "house/treasury",
    "nowhere",
]
GATES = [name for name, gate in RULES.gates.items() if "shortfall" not in gate.accrual and not gate.delay_ns]
ASSETS = ["USDC", "BTC", "ETH", "USDC-debt", "DOGE"]
KEYS = (*SERVICE_KEYS, *(f"client_key/{member}" for member in MEMBERS))
UNITS = [0, -1, 1, 2, 70 * USDC, 70 * USDC + 1, 10**6 * USDC, 2**64, 2**127 - 1, 2**127, 2**130]


def accept_all(public: bytes, message: bytes, signature: bytes) -> bool:
    return True


def new_state(rng: Random) -> BookState:
    """A book with random balances, entitlements and freezes."""
    state = BookState(RULES)
    for key in SERVICE_KEYS:
        state.apply(RegisterKey(key, public_of(key)), NOON, accept_all)
    for member in MEMBERS:
        state.apply(
            OpenMember("client", member, {"client_key": public_of(f"client_key/{member}")}),
            NOON,
            accept_all,
        )
    tables = state.ledger.tables
    for path in PLACES[2:-1]:
        for asset in ("USDC", "BTC"):
            if "zoe" not in path and path != "clearing":
                units = rng.choice([0, 1, 100 * USDC, 5 * 10**6 * USDC, 2**64 + 3, 2**120])
                tables.move("outside", path, asset, units)
    for name, start, end in RULES.ways:
        for way in RULES.ways[name, start, end]:
            for member in MEMBERS:
                source, target = (end.replace("{client}", member) for end in (way.source, way.target))
                for accrual in way.gate.accrual if name in GATES else ():
                    tables.owe((accrual, source, target, "USDC"), rng.choice([1, 2, 70 * USDC, 2**65]))
    tables.commit()
    for scope in ("gate/fund", "asset/BTC", "compartment/client/bob/hedge"):
        if rng.random() < 0.4:
            state.apply(Freeze(scope, "drill"), NOON, accept_all)
    return state


def random_move(rng: Random) -> Move:
    """A move that is sound more often than not, with one thing changed otherwise."""
    (name, _, _), ways = rng.choice([item for item in RULES.ways.items() if item[0][0] in GATES])
    way, member = rng.choice(ways), rng.choice(MEMBERS)
    words: dict[str, Any] = {
        "gate": name,
        "source": way.source.replace("{client}", member),
        "target": way.target.replace("{client}", member),
        "asset": rng.choice(sorted(way.assets or {"USDC"})),
        "units": rng.choice([1, 2, 40 * USDC, 70 * USDC]),
    }
    if rng.random() < 0.5:
        other = {
            "gate": [*GATES, "nothing"],
            "source": PLACES,
            "target": PLACES,
            "asset": ASSETS,
            "units": UNITS,
        }
        word = rng.choice(sorted(other))
        words[word] = rng.choice(other[word])
    return Move(**words)


def random_request(rng: Random, at: int) -> Asked:
    moves = tuple(random_move(rng) for _ in range(rng.choice([1, 1, 1, 2, 3, 5])))
    signers = frozenset(KEYS) if rng.random() < 0.8 else frozenset(rng.sample(KEYS, 3))
    signing = Reason.SIGNATURE_INVALID if rng.random() < 0.05 else None
    releasable = tuple(
        (f"client/{member}/hedge", "USDC", rng.choice([1, 3, 70 * USDC, 2**70])) for member in MEMBERS
    )
    return Asked(
        moves, Instant(at), signers, signing, rng.random() < 0.9, releasable if rng.random() < 0.8 else ()
    )


def readable_codes(state: BookState, identifier: int, asked: Asked) -> list[int]:
    """Ask the book the same, and write its answer as one code for each move."""
    conditions = Conditions(releasable={path: {asset: units} for path, asset, units in asked.releasable})
    keys = sorted(asked.signers)
    request = Request(
        id=identifier,
        links=asked.moves,
        policy=RULES.digest,
        expires=asked.at,
        reason="drill" if asked.has_text else "",
        signatures=tuple(Signature(key, b"") for key in keys) or (Signature("risk_key", b""),),
    )
    good = asked.signing is None
    decision = state.apply(request, asked.at, lambda *_: good, conditions).decision
    if isinstance(decision, Accepted):
        return [0] * len(asked.moves)
    codes = [int(Reason.LINKED_LEG_REFUSED)] * len(asked.moves)
    codes[decision.leg] = int(decision.reason)
    return codes


def assert_twins(seed: int, count: int) -> dict[int, int]:
    """Ask both rules the same; return how often each code was the answer."""
    rng = Random(seed)
    state = new_state(rng)
    batch = BatchBook(state)
    asked, at = [], int(NOON)
    for _ in range(count):
        at += rng.choice([0, 0, DAY_NS // 7])
        asked.append(random_request(rng, at))
    codes = batch.judge(asked).tolist()
    expected = [code for place, one in enumerate(asked, 1) for code in readable_codes(state, place, one)]
    assert codes == expected
    for path in PLACES:
        for asset in ASSETS:
            assert batch.totals(path, asset) == state.totals(path, asset), (path, asset)
    for key in state.all_owed():
        assert batch.owed(key) == state.owed(*key)
    assert_same_windows(batch, state, Instant(at))
    return {code: codes.count(code) for code in set(codes)}


def assert_same_windows(batch: BatchBook, state: BookState, at: Instant) -> None:
    for (gate, scope, members, asset), counter in state.ledger.tables.windows.items():
        start, used = counter
        expected = used if start == at // DAY_NS else 0
        assert batch.used(gate, scope, members, asset, at) == expected


@given(st.integers(0, 2**32))
@settings(max_examples=25)
def test_the_twins_give_the_same_codes_and_units(seed):
    assert_twins(seed, 40)


def test_the_twins_agree_on_many_requests_and_every_reason_is_among_them():
    seen: set[int] = set()
    for seed in range(12):
        seen |= assert_twins(seed, 1_500).keys()
    reasons = {
        Reason.AMOUNT_NOT_POSITIVE,
        Reason.AMOUNT_TOO_LARGE,
        Reason.SOURCE_IS_TARGET,
        Reason.ASSET_UNKNOWN,
        Reason.COMPARTMENT_UNKNOWN,
        Reason.MEMBER_NOT_OPEN,
        Reason.NO_GATE_BETWEEN_COMPARTMENTS,
        Reason.GATE_WORD_NOT_ENFORCED,
        Reason.ASSET_NOT_ACCEPTED,
        Reason.SIGNATURE_INVALID,
        Reason.NEEDS_NOT_MET,
        Reason.REASON_TEXT_MISSING,
        Reason.GATE_FROZEN,
        Reason.COMPARTMENT_FROZEN,
        Reason.ASSET_FROZEN,
        Reason.CONDITION_NOT_MET,
        Reason.GATE_LIMIT_EXCEEDED,
        Reason.ENTITLEMENT_EXCEEDED,
        Reason.FREE_BALANCE_TOO_LOW,
        Reason.CLEARING_NOT_ZERO,
        Reason.LINKED_LEG_REFUSED,
    }
    assert seen >= {0} | {int(reason) for reason in reasons}


@pytest.mark.nightly
def test_the_twins_agree_on_a_great_many_requests():
    for seed in range(1_000, 1_400):
        assert_twins(seed, 2_500)


# --- rows on each side of the edges that random requests seldom meet ----------------------------


def book() -> BookState:
    state = BookState(RULES)
    for member in MEMBERS:
        state.apply(
            OpenMember("client", member, {"client_key": public_of(f"client_key/{member}")}),
            NOON,
            accept_all,
        )
    return state


def codes_of(state: BookState, *moves: Move, **words: Any) -> list[int]:
    """Judge one request by both rules."""
    asked = Asked(moves, NOON, frozenset(KEYS), has_text=True, **words)
    codes = BatchBook(state).judge([asked]).tolist()
    for key in SERVICE_KEYS:
        state.apply(RegisterKey(key, public_of(key)), NOON, accept_all)
    assert codes == readable_codes(state, 1, asked)
    return codes


@pytest.mark.parametrize(
    ("held", "units", "code"),
    [
        (2**64, 2**64, 0),
        (2**64, 2**64 + 1, int(Reason.FREE_BALANCE_TOO_LOW)),
        (2**64 - 1, 2**64, int(Reason.FREE_BALANCE_TOO_LOW)),
        (2**127 - 1, 2**127 - 1, 0),
    ],
)
def test_a_balance_is_compared_over_both_limbs(held, units, code):
    state = book()
    state.ledger.tables.move("outside", "house/fees", "USDC", held)
    state.ledger.tables.owe(("receipts", "outside", "client/alice/cash", "BTC"), 1)
    tables = state.ledger.tables
    tables.owe(("fees", "client/alice/hedge", "house/fees", "USDC"), units)
    tables.move("outside", "client/alice/hedge", "USDC", held)
    tables.commit()
    assert codes_of(state, Move("fee", "client/alice/hedge", "house/fees", "USDC", units)) == [code]


@pytest.mark.parametrize(("units", "code"), [(1, 0), (2, int(Reason.BALANCE_TOO_LARGE))])
def test_a_running_total_stops_at_128_bits(units, code):
    state = book()
    tables = state.ledger.tables
    for source in ("outside", "house/treasury"):
        tables.move(source, "house/fees", "USDC", 2**127 - 1)
    tables.move("outside", "client/alice/hedge", "USDC", 5)
    tables.owe(("fees", "client/alice/hedge", "house/fees", "USDC"), 5)
    tables.commit()
    assert codes_of(state, Move("fee", "client/alice/hedge", "house/fees", "USDC", units)) == [code]


@pytest.mark.parametrize(
    ("units", "code"), [(10**6 * USDC, 0), (10**6 * USDC + 1, int(Reason.GATE_LIMIT_EXCEEDED))]
)
def test_a_window_is_full_to_the_unit(units, code):
    state = book()
    state.ledger.tables.move("outside", "client/alice/cash", "USDC", 2 * units)
    state.ledger.tables.commit()
    assert codes_of(state, Move("fund", "client/alice/cash", "client/alice/hedge", "USDC", units)) == [code]


def test_only_the_readable_rule_judges_what_needs_more_than_a_row():
    batch = BatchBook(book())
    for gate in ("cover", "block", "convert", "debt"):
        moves = (Move(gate, "insurance/directional", "clearing", "USDC", 1),)
        with pytest.raises(ValueError, match="ask the book"):
            batch.judge([Asked(moves, NOON)])
    rows = batch.rows([Asked((Move("fund", "client/alice/cash", "client/alice/hedge", "USDC", 1),), NOON)])
    rows[0]["is_linked"] = 1
    with pytest.raises(ValueError, match="linked"):
        batch.judge_rows(rows)


def test_no_rows_have_no_codes():
    assert BatchBook(book()).judge([]).tolist() == []
