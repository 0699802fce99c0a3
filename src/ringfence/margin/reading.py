"""Reading a bucket and its prices from a book.

A mark is the agreed price `mark/<instrument>` where the policy declares one, else the instrument's index.
What a bucket owes under accruals and has not paid yet (fees, funding) is taken off its balance.
"""

from ringfence.kernel.errors import BadInput
from ringfence.kernel.instant import Instant
from ringfence.margin.bucket import Bucket, Position, RestingOrder
from ringfence.margin.marks import Prices
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.rules import Rules


def bucket_in(state: BookState, path: str, orders: tuple[RestingOrder, ...] = ()) -> Bucket:
    """Read a bucket from a book; BadInput where it is not one, or is margined by portfolio.

    orders: its resting orders, which a book does not know.
    """
    place = state.rules.place(path)
    if place is None:
        raise BadInput(f"{path} is no compartment of this policy")
    mode = state.rules.policy.compartments[place.rule.pattern].margin
    if mode is None or mode == "portfolio":
        raise BadInput(f"{path} has margin: {mode or 'none'}; bracket margin is for isolated and cross")
    held = {asset: state.balance(path, asset) for asset in sorted(place.rule.accepts or ())}
    for asset, units in state.owed_by(path):
        held[asset] = held.get(asset, 0) - units
    positions = (
        Position(name, held_one.contracts, held_one.session_value)
        for name, held_one in sorted(state.positions_of(path).items())
    )
    return Bucket(mode, {asset: units for asset, units in held.items() if units}, tuple(positions), orders)


def buckets_in(state: BookState) -> tuple[str, ...]:
    """List every bucket margined by brackets that ever held anything, in name order."""
    modes = {
        rule.pattern: state.rules.policy.compartments[rule.pattern].margin
        for rule in state.rules.compartments
    }
    places = {path: state.rules.place(path) for path, _, _ in state.balances()}
    return tuple(
        sorted(
            path
            for path, place in places.items()
            if place is not None and modes[place.rule.pattern] in ("isolated", "cross")
        )
    )


def prices_in(state: BookState, at: Instant, rules: Rules | None = None) -> Prices:
    """Return the agreed prices that are fresh at an instant: of coins, and marks of instruments.

    rules: whose coins, instruments and staleness are meant, where they are not those in force.
    """
    rules = rules or state.rules
    assets = {name: fresh_price(state, asset.price, at, rules) for name, asset in rules.assets.items()}
    marks = {
        name: fresh_price(state, f"mark/{name}", at, rules) or fresh_price(state, one.index, at, rules)
        for name, one in rules.instruments.items()
    }
    return Prices(
        {name: price_e10 for name, price_e10 in assets.items() if price_e10},
        {name: price_e10 for name, price_e10 in marks.items() if price_e10},
    )


def fresh_price(state: BookState, name: str | None, at: Instant, rules: Rules | None = None) -> int | None:
    """Return an agreed price at PRICE_SCALE; None where there is none or it is stale."""
    authority = None if name is None else (rules or state.rules).prices.get(name)
    agreed = None if name is None else state.price(name)
    if authority is None or agreed is None or agreed.is_stale(authority, at):
        return None
    return agreed.price_e10
