"""`ringfence book fill`: two signed orders become a trade in the book."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ringfence.cli.book_desk import Desk, Keys, open_desk
from ringfence.cli.book_reading import At
from ringfence.cli.output import Json

if TYPE_CHECKING:
    from ringfence.planes.ledger.operations import Order


def fill(
    instrument: Annotated[str, typer.Argument(help="An instrument of the policy, e.g. BTC-PERP.")],
    contracts: Annotated[int, typer.Argument(min=1, help="How many contracts pass.")],
    price: Annotated[str, typer.Argument(help="The price of one whole base unit, e.g. 65000.5.")],
    buyer: Annotated[str, typer.Option("--buyer", help="The bucket that buys, e.g. client/alice/hedge.")],
    seller: Annotated[str, typer.Option("--seller", help="The bucket that sells.")],
    at: At,
    taker: Annotated[Literal["buy", "sell"], typer.Option("--taker", help="Who pays the taker fee.")] = "buy",
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Book a trade of two buckets, each with an order at this price, signed with every key at hand.

    Contracts pass through clearing, fees become owed, and margin judges both ends.
    """
    from ringfence.planes.ledger.operations import Fill
    from ringfence.services import instructions

    price_e10 = instructions.parse_price(price)
    with open_desk(at, keys, as_json) as desk:
        buys = _order(desk, buyer, instrument, "buy", contracts, price_e10)
        sells = _order(desk, seller, instrument, "sell", contracts, price_e10)
        desk.ask((Fill(instrument, contracts, price_e10, buys, sells, taker),), ())


def _order(
    desk: Desk, bucket: str, instrument: str, side: Literal["buy", "sell"], contracts: int, price_e10: int
) -> "Order":
    from ringfence.planes.ledger.operations import Order
    from ringfence.services import instructions

    rules = desk.book.rules
    expires = instructions.default_expiry(desk.now)
    bare = Order(desk.new_id(), bucket, instrument, side, contracts, price_e10, expires, rules.digest)
    return instructions.order(rules, bare, desk.sign)
