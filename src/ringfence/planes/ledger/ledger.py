"""A book's rules and tables side by side, and the small questions every rule asks of both."""

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.instant import Instant, show_instant
from ringfence.kernel.money import BALANCE_MAX, PRICE_SCALE
from ringfence.planes.ledger.limits import room_units
from ringfence.planes.ledger.prices import AgreedPrice
from ringfence.planes.ledger.rules import GateRule, Members, Place, Rules
from ringfence.planes.ledger.signing import KnownKeys
from ringfence.planes.ledger.stopping import split_key, stops_move, stops_trading
from ringfence.planes.ledger.tables import Tables

EACH_TRANSFER, EACH, ALL = "each_transfer", "each", "all"

PLACES_MAX = 16_384
"""How many compartments are kept as they were looked up; with more, the looking begins anew."""


class Ledger:
    """Rules, tables, and the compartments that were looked up before.

    expiring: a heap of (until, id) with every hold in it at least; see `holds.expire`.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.tables = Tables()
        self.expiring: list[tuple[int, int]] = []
        self._open: dict[str, Place] = {}

    def follow(self, rules: Rules) -> None:
        """Obey other rules from now on, on the same tables."""
        self.rules = rules
        self._open.clear()

    def other_policy(self, digest: bytes) -> str:
        """Say which policy a digest names that is not in force, and which one is."""
        name = f"policy {digest.hex()[:16]}"
        in_force = f"{self.rules.digest.hex()[:16]} is in force"
        replaced = self.tables.replaced.get(digest.hex())
        if replaced is None:
            return f"{name}, and {in_force}"
        since = show_instant(Instant(replaced[1]))
        return f"{name} ({replaced[0]}), which was replaced at {since}: sign again, {in_force}"

    # --- compartments

    def place(self, path: str) -> Place | None:
        """Find a compartment whose members are all open; None where there is none such."""
        place = self._open.get(path)
        if place is None:
            place = self.rules.place(path)
            if place is None or self.closed_member(place):
                return None
            if len(self._open) >= PLACES_MAX:
                self._open.clear()
            self._open[path] = place
        return place

    def forget_places(self) -> None:
        """Look every compartment up again: a member was closed."""
        self._open.clear()

    def closed_member(self, place: Place) -> str:
        """Name a member of the compartment that is not open; "" where all are."""
        if place.path in self._open:
            return ""
        named = (place.rule.named,) if place.rule.named else ()
        for party, member in (*zip(place.rule.families, place.members, strict=True), *named):
            if (party, member) not in self.tables.members:
                return f"{party} {member}"
        return ""

    # --- keys

    def known_keys(self, at: Instant) -> KnownKeys:
        """Return the public keys that count at an instant."""
        tables = self.tables
        return KnownKeys(tables.keys, tables.former, tables.revoked, at, self.rules.service_keys)

    # --- walls and limits

    def frozen(self, gate: str, source: str, target: str, asset: str) -> str:
        """Name the first halt that stops a move, as `stopping.halt_key` writes it; "" where none does."""
        frozen = self.tables.frozen
        if not frozen:
            return ""
        scopes = (f"gate/{gate}", f"compartment/{source}", f"compartment/{target}", f"asset/{asset}")
        plain = next((scope for scope in scopes if scope in frozen), "")
        start, end = self.rules.place(source), self.rules.place(target or source)
        if plain or start is None or end is None:
            return plain
        return next(
            (key for key in sorted(frozen) if stops_move(self.rules, key, gate, start, end, asset)), ""
        )

    def trading_halts(self, place: Place, instrument: str) -> frozenset[str]:
        """Return the kinds of halts that concern a bucket's orders in an instrument."""
        keys = (key for key in self.tables.frozen if stops_trading(self.rules, key, place, instrument))
        return frozenset(split_key(key)[0] for key in keys)

    def room(self, gate: GateRule, members: Members, asset: str, at: Instant) -> tuple[int | None, str]:
        """Return the units that the gate's limits leave, and which limit that is; None where none counts.

        Where the gate values amounts, nothing is left without fresh prices to value them with.
        """
        counted = gate.counted_in(asset)
        room: int | None = gate.each_transfer.get(counted)
        limit = EACH_TRANSFER
        for scope, caps, who in ((EACH, gate.each, members), (ALL, gate.all, ())):
            cap = caps.get(counted)
            if cap is None:
                continue
            left = room_units(cap, self.tables.windows.get((gate.name, scope, who, counted), ()), at)
            if room is None or left < room:
                room, limit = left, scope
        if room is None or counted == asset:
            return room, limit
        rate = self.rate(asset, counted, at, gate.line)
        return (0 if isinstance(rate, Refused) else room * rate[1] // rate[0]), limit

    def total_room(self, source: str, target: str, asset: str) -> int:
        """Return the units until one of the two running totals is full."""
        debits = self.tables.balances.totals(source, asset)[0]
        credits = self.tables.balances.totals(target, asset)[1]
        return BALANCE_MAX - max(debits, credits)

    # --- prices

    def price(self, name: str, at: Instant) -> tuple[AgreedPrice | None, bool]:
        """Return the last agreed price of a name, and whether it is too old to be used."""
        price = self.tables.prices.get(name)
        return price, price is not None and price.is_stale(self.rules.prices[name], at)

    def worth(self, name: str, at: Instant, line: str) -> int | Refused:
        """Return what a whole unit of an asset is worth in the numeraire (PRICE_SCALE), where a fresh price
        says so; `line` is the policy's that asks."""
        asset = self.rules.assets.get(name)
        if asset is None:
            return Refused(Reason.PRICE_MISSING, f"{name} has no price", line)
        coin = self.rules.assets[asset.worth_as]
        if coin.price is None:
            return PRICE_SCALE
        price, is_stale = self.price(coin.price, at)
        if price is None:
            return Refused(Reason.PRICE_MISSING, f"the book holds no price {coin.price}", line)
        if is_stale:
            return Refused(
                Reason.PRICE_STALE, f"{coin.price} is too old; a fresh price must come first", line
            )
        return price.price_e10

    def rate(self, asset: str, wanted: str, at: Instant, line: str) -> tuple[int, int] | Refused:
        """Return the fraction by which units of one asset become units of another of the same value."""
        given, taken = self.worth(asset, at, line), self.worth(wanted, at, line)
        if isinstance(given, Refused):
            return given
        if isinstance(taken, Refused):
            return taken
        assets = self.rules.assets
        return given * 10 ** assets[wanted].decimals, taken * 10 ** assets[asset].decimals


def limited_members(source: Place, target: Place) -> Members:
    """Say whose `each` limit a move counts against: the source's member, else the target's."""
    return source.members or target.members
