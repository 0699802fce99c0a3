"""`ringfence book fill` and `order`: two signed orders become a trade in the book."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape

from ringfence.cli.book_desk import Desk, Expires, Keys, desk_to_read, open_desk
from ringfence.cli.book_reading import At
from ringfence.cli.output import Json, console, print_json
from ringfence.cli.signed_files import read_signed, write_signed
from ringfence.kernel.errors import UsageError

if TYPE_CHECKING:
    from ringfence.planes.ledger.operations import Order

order_app = typer.Typer(no_args_is_help=True, help="Orders: sign one, to be filled by somebody else.")

Instrument = Annotated[str, typer.Argument(help="An instrument of the policy, e.g. BTC-PERP.")]
Side = Literal["buy", "sell"]


@order_app.command("sign")
def sign_order(
    bucket: Annotated[str, typer.Argument(help="The bucket it is for, e.g. client/alice/hedge.")],
    side: Annotated[Side, typer.Argument(help="buy or sell.")],
    contracts: Annotated[int, typer.Argument(min=1, help="How many contracts at most.")],
    instrument: Instrument,
    price: Annotated[str, typer.Argument(help="The worst price it may be filled at, e.g. 65000.5.")],
    to: Annotated[Path, typer.Option("--to", help="The file to write the signed order to.")],
    at: At,
    expires: Expires = "",
    reduce_only: Annotated[bool, typer.Option("--reduce-only", help="It may only reduce.")] = False,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Sign an order and write it to a file; nothing is asked of the book, and each party does so at home."""
    from ringfence.services import instructions

    price_e10 = instructions.parse_price(price)
    with desk_to_read(at, keys) as desk:
        until = desk.instant(expires) if expires else instructions.default_expiry(desk.now)
        signed = _order(desk, bucket, instrument, side, contracts, price_e10, until, reduce_only)
    write_signed(to, signed)
    names = [one.key for one in signed.signatures]
    if as_json:
        print_json({"file": str(to), "id": f"{signed.id:032x}", "signed": names})
    else:
        words = f"{side} {contracts} {instrument} for {bucket}, signed by {', '.join(names) or 'nobody'}"
        console.print(f"{escape(str(to))}: {words}", highlight=False, soft_wrap=True)


def fill(
    instrument: Instrument,
    contracts: Annotated[int, typer.Argument(min=1, help="How many contracts pass.")],
    price: Annotated[str, typer.Argument(help="The price of one whole base unit, e.g. 65000.5.")],
    at: At,
    buyer: Annotated[str, typer.Option("--buyer", help="The bucket that buys, or the file of its order.")],
    seller: Annotated[str, typer.Option("--seller", help="The bucket that sells, or the file of its order.")],
    taker: Annotated[Side, typer.Option("--taker", help="Who pays the taker fee.")] = "buy",
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Book a trade of two orders: those in files, or made at this price and signed with every key at hand.

    Contracts pass through clearing, fees become owed, margin judges both ends; the premium of an option is
    paid with it.
    """
    from ringfence.planes.ledger.operations import Fill
    from ringfence.planes.ledger.payments import premium_moves
    from ringfence.services import instructions

    price_e10 = instructions.parse_price(price)
    with open_desk(at, keys, as_json) as desk:
        expires = instructions.default_expiry(desk.now)

        def order(named: str, side: Side) -> "Order":
            if _is_file(desk, named):
                return _read(Path(named), side)
            return _order(desk, named, instrument, side, contracts, price_e10, expires)

        buys, sells = order(buyer, "buy"), order(seller, "sell")
        trade = Fill(instrument, contracts, price_e10, buys, sells, taker)
        premium = premium_moves(desk.book.rules, trade)
        desk.ask((trade, *premium), premium)


def _is_file(desk: Desk, named: str) -> bool:
    return desk.book.rules.place(named) is None and Path(named).is_file()


def _read(file: Path, side: Side) -> "Order":
    from ringfence.planes.ledger.operations import Order

    order = read_signed(file, Order, "order", "order sign")
    if order.side != side:
        raise UsageError(f"{file} is an order to {order.side}, and one to {side} is asked here")
    return order


def _order(
    desk: Desk,
    bucket: str,
    instrument: str,
    side: Side,
    contracts: int,
    price_e10: int,
    expires: int,
    reduce_only: bool = False,
) -> "Order":
    from ringfence.planes.ledger.operations import Order
    from ringfence.services import instructions

    rules = desk.book.rules
    bare = Order(
        desk.new_id(),
        bucket,
        instrument,
        side,
        contracts,
        price_e10,
        expires,
        rules.digest,
        reduce_only=reduce_only,
    )
    return instructions.order(rules, bare, desk.sign)
