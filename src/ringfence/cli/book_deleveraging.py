"""`ringfence book deleverage`: winners of the class bear what no pool can of a bucket that failed."""

from typing import Annotated

import typer

from ringfence.cli.book_desk import Keys, open_desk
from ringfence.cli.book_reading import At
from ringfence.cli.output import Json
from ringfence.kernel.errors import UsageError


def deleverage(
    bucket: Annotated[str, typer.Argument(help="The bucket that failed, e.g. client/alice/directional.")],
    at: At,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Pass what no pool could bear of a bankrupt bucket to winners of the class that its waterfall names.

    At the bankruptcy price, each within its profit and the policy's cap; `book watch` passes the rest to the
    pool. Risk and ledger sign with the keys at hand.
    """
    from ringfence.services.margin_facts import MarginFacts

    with open_desk(at, keys, as_json) as desk:
        margin = desk.book.margin
        fills = (
            margin.deleveraging(desk.book.state, bucket, desk.now) if isinstance(margin, MarginFacts) else ()
        )
        if not fills:
            raise UsageError(
                f"nobody is deleveraged for {bucket}: it is not bankrupt at the prices of this book, its "
                f"pools can bear it, or its waterfall names no class with a winner on the other side"
            )
        desk.ask(fills, ())
