"""Options on the ledger: the premium is paid when the contract passes, the payoff once, at expiry.

    premium = price x size x contracts      buyer -> clearing -> seller, in the request of the fill
    payoff  = max(0, index - strike) for a call, max(0, strike - index) for a put, down to the tick

In between nothing is owed: an option has no session value. Fills lie inside the price band around the
option's own mark, `mark/NAME` under `prices`; what that should be is for pricing to say, not for the ledger.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.instant import Instant, show_instant
from ringfence.planes.ledger.chain import Chain
from ringfence.planes.ledger.operations import Fill, Settle
from ringfence.planes.ledger.prices import AgreedPrice
from ringfence.planes.ledger.rules import Place, Rules
from ringfence.planes.ledger.settlement import fill_value
from ringfence.policy.model import Instrument, Policy

PREMIUM: Final = "premium"


def is_settled_by_premium(policy: Policy, name: str) -> bool:
    """Say whether an option can be traded: a linear one, with a mark and a gate that moves premiums."""
    moved = any(PREMIUM in gate.accrual and "ledger" in gate.on for gate in policy.gates.values())
    return policy.instruments[name].payoff == "linear" and f"mark/{name}" in policy.prices and moved


def reference_price(name: str, instrument: Instrument) -> str:
    """Name the price that fills of an instrument lie around."""
    return f"mark/{name}" if instrument.kind == "option" else instrument.index


def premium_units(rules: Rules, fill: Fill, instrument: Instrument) -> int:
    """Return the premium of a fill in units of the quote."""
    decimals = rules.assets[instrument.quote].decimals
    return abs(fill_value(instrument, fill.contracts, fill.price_e10, decimals))


def owe_premium(chain: Chain, fill: Fill, instrument: Instrument, buyer: Place, seller: Place) -> None:
    """Let the buyer owe clearing the premium, and clearing the seller, before the request ends."""
    clearing = chain.ledger.place(chain.ledger.rules.clearing or "")
    units = premium_units(chain.ledger.rules, fill, instrument)
    if clearing is not None and units:
        chain.make_due(PREMIUM, buyer, clearing, instrument.quote, units)
        chain.make_due(PREMIUM, clearing, seller, instrument.quote, units)


def payoff_e10(instrument: Instrument, index_e10: int) -> int:
    """Return what one whole unit of the underlying pays at expiry, down to the tick."""
    strike = instrument.strike_e10 or 0
    gain = index_e10 - strike if instrument.option == "call" else strike - index_e10
    return max(0, gain) // instrument.tick_e10 * instrument.tick_e10


def judge_expiry(
    settle: Settle, instrument: Instrument, index: AgreedPrice | None, is_stale: bool, at: Instant
) -> Iterator[Refused]:
    """Refuse to settle an option before its expiry, or at another price than its payoff at the index."""
    if instrument.expires is None or at < instrument.expires:
        until = show_instant(Instant(instrument.expires or 0))
        yield Refused(Reason.CONDITION_NOT_MET, f"{settle.instrument} is settled once, from {until} on")
    if index is None:
        yield Refused(Reason.PRICE_MISSING, f"the book holds no price {instrument.index} to settle at")
    elif is_stale:
        yield Refused(Reason.PRICE_STALE, f"{instrument.index} is too old; a fresh price must come first")
    elif settle.price_e10 != payoff_e10(instrument, index.price_e10):
        words = f"{settle.instrument} pays {payoff_e10(instrument, index.price_e10)} at the index"
        yield Refused(Reason.PRICE_OUTSIDE_BAND, words)
