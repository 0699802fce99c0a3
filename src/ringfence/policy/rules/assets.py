"""Assets, prices and instruments make sense by themselves."""

from collections.abc import Iterator
from itertools import pairwise

from ringfence.kernel.money import PPM, PRICE_SCALE, show_decimal
from ringfence.policy.grammar import Path
from ringfence.policy.model import Asset, Finding, Instrument
from ringfence.policy.phrases import show_price, show_share
from ringfence.policy.rules.view import Rule, View


def debts_and_credits_follow_a_coin(view: View) -> Iterator[Finding]:
    """A debt or a credit counts in the units of its coin and is worth what the coin is worth."""
    for name, asset in view.policy.assets.items():
        path = ("assets", name)
        coin_name = asset.debt_in or asset.mirrors
        if coin_name is None:
            if asset.debt_cap_units is not None:
                found = f"`{name}` has `cap` and is no debt"
                yield view.error("debt", path, found, "write `debt_in: …`, or leave it out")
            continue
        yield from _follows(view, path, name, asset, coin_name)


def _follows(view: View, path: Path, name: str, asset: Asset, coin_name: str) -> Iterator[Finding]:
    coin = view.policy.assets.get(coin_name)
    if asset.debt_in is not None and asset.mirrors is not None:
        yield view.error("debt", path, f"`{name}` is a debt and a credit at once", "write one of the two")
    if coin is not None and (coin.debt_in or coin.mirrors):
        found = f"`{name}` follows `{coin_name}`, which is no coin"
        yield view.error("debt", path, found, "name a coin")
    elif coin is not None and coin.decimals != asset.decimals:
        found = f"`{name}` has {asset.decimals} decimals and `{coin_name}` {coin.decimals}"
        yield view.error("debt", (*path, "decimals"), found, f"write `decimals: {coin.decimals}`")
    if asset.haircut or asset.price is not None:
        found = f"`{name}` has a haircut or price of its own"
        yield view.error("debt", path, found, f"leave it out: it is worth its `{coin_name}`")


def the_numeraire_is_a_coin(view: View) -> Iterator[Finding]:
    """Everything is valued in one coin; every other coin has a price."""
    numeraire = view.policy.assets.get(view.policy.numeraire)
    if numeraire is not None and (numeraire.debt_in or numeraire.mirrors):
        found = f"`{view.policy.numeraire}` is a debt or credit"
        yield view.error("numeraire", ("numeraire",), found, "value everything in a coin")
    if numeraire is not None and numeraire.price is not None:
        found = f"`{view.policy.numeraire}` has a price, and everything is valued in it"
        yield view.error(
            "numeraire", ("assets", view.policy.numeraire, "price"), found, "leave the price out"
        )


def every_other_coin_has_a_price(view: View) -> Iterator[Finding]:
    """A coin without a price cannot be valued. Needs the whole policy: the price may be what was lost."""
    for name, asset in view.policy.assets.items():
        is_coin = asset.debt_in is None and asset.mirrors is None
        if is_coin and asset.price is None and name != view.policy.numeraire:
            right = f"write `index/{name}` under `prices`, or `price: …`"
            yield view.error("no-price", ("assets", name), f"`{name}` has no price", right)


def haircuts_grow(view: View) -> Iterator[Finding]:
    """More of an asset in one bucket never counts for more of its price."""
    for name, asset in view.policy.assets.items():
        path = ("assets", name, "haircut")
        tiers = asset.haircut
        if tiers and tiers[0].floor_units != 0:
            yield view.error(
                "haircut-order", path, "the first row does not start at zero", f"write `0 {name}`"
            )
        if any(not 0 <= tier.ppm <= PPM for tier in tiers):
            yield view.error(
                "haircut-order", path, "a haircut is not within 0 % and 100 %", "write one that is"
            )
        for lower, upper in pairwise(tiers):
            if upper.floor_units <= lower.floor_units or upper.ppm < lower.ppm:
                found = f"after {show_share(lower.ppm)} comes {show_share(upper.ppm)} at no higher amount"
                if upper.floor_units > lower.floor_units:
                    found = f"{show_share(upper.ppm)} follows {show_share(lower.ppm)}"
                yield view.error("haircut-order", path, found, "let amounts and haircuts rise")


def prices_can_agree(view: View) -> Iterator[Finding]:
    """A price cannot ask for more agreeing sources than there are."""
    for name, price in view.policy.prices.items():
        path = ("prices", name, "agree")
        if price.agree_count > len(price.sources):
            found = f"{price.agree_count} of {len(price.sources)} sources must agree"
            yield view.error("price-quorum", path, found, f"ask for at most {len(price.sources)}")
        if not 0 <= price.agree_ppm < PPM:
            yield view.error(
                "price-quorum", path, f"`{show_share(price.agree_ppm)}` is no band", "write less"
            )


# --- instruments -------------------------------------------------------------------------------


def brackets_rise(view: View) -> Iterator[Finding]:
    """Brackets start at zero, rise in size and rate, fall in leverage, and never ask less than they keep."""
    for name, instrument in view.policy.instruments.items():
        path = ("instruments", name, "tiers")
        tiers = instrument.tiers
        if tiers[0].floor_units != 0:
            right = f"start at `0 {instrument.quote}`"
            yield view.error(
                "tier-order", path, f"the first bracket of `{name}` does not start at zero", right
            )
        for number, (lower, upper) in enumerate(pairwise(tiers), start=2):
            is_rising = (
                upper.floor_units > lower.floor_units and upper.maintenance_ppm > lower.maintenance_ppm
            )
            if not is_rising or upper.leverage_max > lower.leverage_max:
                found = f"bracket {number} of `{name}` does not follow the one before"
                right = "let notional and maintenance rise and leverage fall"
                yield view.error("tier-order", path, found, right)
        yield from _initial_covers_maintenance(view, path, name, instrument)


def _initial_covers_maintenance(
    view: View, path: Path, name: str, instrument: Instrument
) -> Iterator[Finding]:
    for number, tier in enumerate(instrument.tiers, start=1):
        if not 0 < tier.maintenance_ppm <= PPM or tier.maintenance_ppm * tier.leverage_max > PPM:
            rate = show_share(tier.maintenance_ppm)
            found = f"bracket {number} of `{name}` keeps {rate} and lets {tier.leverage_max} times leverage"
            yield view.error(
                "tier-order", path, found, "keep no more than one part in that many, and above 0 %"
            )


def contracts_have_whole_values(view: View) -> Iterator[Finding]:
    """One linear contract times one tick is a whole number of quote units, so every value is exact."""
    for name, instrument in view.policy.instruments.items():
        quote = view.policy.assets.get(instrument.quote)
        if instrument.payoff == "inverse" or quote is None:
            continue
        product = instrument.contract_size_e10 * instrument.tick_e10 * 10**quote.decimals
        if product % PRICE_SCALE**2:
            size, tick = show_price(instrument.contract_size_e10), show_price(instrument.tick_e10)
            least = show_decimal(1, quote.decimals)
            found = f"`{name}`: {size} × {tick} is no whole number of units of {least} {instrument.quote}"
            yield view.error(
                "contract-tick", ("instruments", name), found, "make the contract or tick larger"
            )


def instruments_are_whole(view: View) -> Iterator[Finding]:
    """Each kind of instrument has the words it needs and no others."""
    for name, instrument in view.policy.instruments.items():
        path = ("instruments", name)
        for word, is_there, is_needed, is_allowed in _words_of_kind(instrument):
            if is_needed and not is_there:
                found = f"the {instrument.kind} `{name}` has no `{word}`"
                yield view.error("instrument", path, found, "write it")
            if is_there and not is_allowed:
                found = f"the {instrument.kind} `{name}` has `{word}`"
                yield view.error("instrument", (*path, word), found, "leave it out")
        yield from _quotes(view, path, name, instrument)
        yield from _rates(view, path, name, instrument)


def _words_of_kind(instrument: Instrument) -> tuple[tuple[str, bool, bool, bool], ...]:
    is_option = instrument.kind == "option"
    ends = instrument.kind != "perpetual"
    return (
        ("funding", instrument.funding is not None, False, not ends),
        ("expires", instrument.expires is not None, ends, ends),
        ("strike", instrument.strike_e10 is not None, is_option, is_option),
        ("option", instrument.option is not None, is_option, is_option),
    )


def _quotes(view: View, path: Path, name: str, instrument: Instrument) -> Iterator[Finding]:
    quote = view.policy.assets.get(instrument.quote)
    if quote is not None and (quote.debt_in or quote.mirrors):
        yield view.error(
            "instrument", (*path, "quote"), f"`{name}` settles in a debt or credit", "name a coin"
        )
    if instrument.payoff == "inverse" and instrument.quote != instrument.underlying:
        found = f"the inverse `{name}` settles in `{instrument.quote}`"
        yield view.error("instrument", (*path, "quote"), found, f"settle it in `{instrument.underlying}`")
    if instrument.payoff == "linear" and instrument.quote == instrument.underlying:
        found = f"the linear `{name}` settles in what it follows"
        yield view.error("instrument", (*path, "quote"), found, "write `payoff: inverse`, or another quote")


def _rates(view: View, path: Path, name: str, instrument: Instrument) -> Iterator[Finding]:
    fees = instrument.fees
    if fees.taker_ppm < 0 or fees.liquidation_ppm < 0 or fees.taker_ppm + fees.maker_ppm < 0:
        found = f"`{name}` pays more in rebates than it earns in fees"
        yield view.error(
            "instrument", (*path, "fees"), found, "let a fill cost both sides together at least 0 %"
        )
    if not 0 < instrument.price_band_ppm < PPM:
        found = f"the price band of `{name}` is {show_share(instrument.price_band_ppm)}"
        yield view.error("instrument", (*path, "price_band"), found, "write one above 0 % and below 100 %")
    if instrument.funding is not None and not 0 < instrument.funding.cap_ppm <= PPM:
        found = f"the funding cap of `{name}` is {show_share(instrument.funding.cap_ppm)}"
        yield view.error("instrument", (*path, "funding"), found, "write one above 0 % and at most 100 %")


RULES: tuple[Rule, ...] = (
    debts_and_credits_follow_a_coin,
    the_numeraire_is_a_coin,
    haircuts_grow,
    prices_can_agree,
    brackets_rise,
    contracts_have_whole_values,
    instruments_are_whole,
)
WHOLE_RULES: tuple[Rule, ...] = (every_other_coin_has_a_price,)
"""Rules that need every entry to be there."""
