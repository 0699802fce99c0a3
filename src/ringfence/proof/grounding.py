"""From a policy to a world: every gate, leg and waterfall step as single arcs between the members kept.

The meaning is docs/why/policy.md to the letter. Nothing here asks who attacks what; that is for the engines.
Each gate leads between the pairs of places that both accept an asset, for the members its variables bind;
distinct variables are distinct members. A key without a member is the key of the member bound in the source.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from ringfence.policy.model import Cap as PolicyCap
from ringfence.policy.model import DeleverageStep, Exchange, Gate, Limits, Policy
from ringfence.proof.cutoff import Cast
from ringfence.proof.places import Binding, Site, Sites
from ringfence.proof.signing import Signing
from ringfence.proof.world import FORMAT, NOBODY, Cap, Member, Place, Rule, RuleKind, Trade, Way, World

LEDGER = "ledger"
"""The service that checks the plane of the same name."""

MATCHING = "matching"
"""The service that prints fills, where a policy has one of that name."""

MARKS = "marks"
"""The service that brings prices, where a policy has one of that name."""

RISK = "risk"

DELEVERAGE = "deleverage"
"""What a claim calls the step of a waterfall by which winners give up profit."""

CLOSING_KEYS = ("risk_key", "ledger_key")
"""Who signs a forced closure (policy meaning, "fills and issue")."""

NO_BAND = -1


def ground(policy: Policy, cast: Cast) -> World:
    """Read a policy as a world of the members in `cast`."""
    return _Grounding(policy, cast).world()


class _Grounding:
    """The tables of a world while they are filled."""

    def __init__(self, policy: Policy, cast: Cast) -> None:
        self.policy = policy
        self.cast = cast
        # A debt is owed, not owned: questions speak of coins, and of credits that stand for coins.
        self.assets = tuple(name for name, asset in policy.assets.items() if not asset.debt_in)
        self.asset_at = {name: index for index, name in enumerate(self.assets)}
        self.service_at = {name: index for index, name in enumerate(policy.services)}
        self.members = list(cast.members)
        self.member_at = {member.name: index for index, member in enumerate(cast.members)}
        self.signing = Signing(policy, cast)
        self.sites = Sites(policy, cast)
        self.places = tuple(self.place(site) for site in self.sites.rows)
        self.rules: list[Rule] = []
        self.ways: dict[Way, None] = {}

    def world(self) -> World:
        for name, gate in self.policy.gates.items():
            self.add_gate(name, gate)
        for name, exchange in self.policy.exchanges.items():
            self.add_exchange(name, exchange)
        for name, fall in self.policy.waterfalls.items():
            for step in fall.steps:
                if isinstance(step, DeleverageStep):
                    self.add_deleveraging(name, step.classes, fall.covers)
        flows = self.flows()
        return World(
            format=FORMAT,
            policy=self.policy.name,
            assets=self.assets,
            members=tuple(self.members),
            keys=tuple(self.signing.keys),
            services=self.signing.services(),
            flows=flows,
            derivations=(),
            verifiers={"ledger": self.service_at.get(LEDGER, NOBODY), "vault": NOBODY},
            printers=self.printers(flows),
            pricers=self.pricers(),
            places=self.places,
            needs=tuple(self.signing.needs),
            rules=tuple(self.rules),
            ways=tuple(self.ways),
        )

    # --- services ------------------------------------------------------------------------------

    def flows(self) -> tuple[tuple[int, int], ...]:
        known = self.service_at
        pairs = (
            (known[source], known[target])
            for flow in self.policy.flows
            for source, target in product(flow.sources, flow.targets)
            if source in known and target in known
        )
        return tuple(dict.fromkeys(pairs))

    def printers(self, flows: Iterable[tuple[int, int]]) -> tuple[int, ...]:
        """Return who can bring fills to the ledger: matching, or without one all that can speak with it."""
        if MATCHING in self.service_at:
            return (self.service_at[MATCHING],)
        ledger = self.service_at.get(LEDGER)
        if ledger is None:
            return tuple(self.service_at.values())
        return tuple(sorted({end for flow in flows if ledger in flow for end in flow} | {ledger}))

    def pricers(self) -> tuple[int, ...]:
        """Return who brings prices: marks, or without one the ledger, which asks the sources itself."""
        return tuple(self.service_at[name] for name in (MARKS, LEDGER) if name in self.service_at)[:1]

    # --- compartments --------------------------------------------------------------------------

    def place(self, site: Site) -> Place:
        compartment = site.compartment
        accepted = self.assets if compartment.kind == "external" else compartment.accepts
        return Place(
            name=site.path,
            external=compartment.kind == "external",
            owner=compartment.owner or "",
            role=compartment.role or "",
            accepts=tuple(index for index, asset in enumerate(self.assets) if asset in accepted),
            member=self.member_at.get(site.owner_member() or "", NOBODY),
            nets=compartment.must_net_to == "zero",
            trade=self.trade(site),
        )

    def trade(self, site: Site) -> Trade | None:
        trade, limits = site.compartment.trade, site.compartment.limits
        if trade is None:
            return None
        losses = limits.daily_loss if limits else {}
        by_asset = {self.asset_at[asset]: units for asset, units in losses.items() if asset in self.asset_at}
        wanted = self.policy.instruments if trade.instruments is None else trade.instruments
        quotes = [self.policy.instruments[name].quote for name in wanted if name in self.policy.instruments]
        settles = {self.asset_at[one] for one in quotes if one in self.asset_at}
        accepted = {self.asset_at[one] for one in site.compartment.accepts if one in self.asset_at}
        return Trade(self.signing.all_of(trade.needs, site, {}), tuple(sorted(settles & accepted)), by_asset)

    # --- gates, exchanges, waterfalls ----------------------------------------------------------

    def add_gate(self, name: str, gate: Gate) -> None:
        lanes = [(gate.sources, gate.targets)]
        if gate.both_ways:
            lanes.append((gate.targets, gate.sources))
        for lane, (sources, targets) in enumerate(lanes):
            rule = self.add_rule("gates", name, "gate", lane, gate)
            for ends in product(sources, targets):
                for (source, target), binding in self.sites.named_by(ends):
                    if source != target or self.may_be_two(source, *ends):
                        self.add_leg(rule, gate, source, target, binding, gate.assets)

    def add_exchange(self, name: str, exchange: Exchange) -> None:
        rules = [
            self.add_rule("exchanges", name, "exchange", lane, exchange) for lane in range(len(exchange.legs))
        ]
        assets = self.assets if exchange.assets is None else exchange.assets
        ends = [end for leg in exchange.legs for end in (leg.source, leg.target)]
        for places, binding in self.sites.named_by(ends):
            for lane, rule in enumerate(rules):
                source, target = places[2 * lane : 2 * lane + 2]
                if source != target or self.may_be_two(source, *ends[2 * lane : 2 * lane + 2]):
                    self.add_leg(rule, exchange, source, target, binding, assets)

    def add_deleveraging(self, name: str, classes: Sequence[str], covers: Sequence[str]) -> None:
        """A winner of the class gives up profit for a loser: an arc between any two distinct buckets."""
        computing = tuple(self.service_at[one] for one in (RISK, LEDGER) if one in self.service_at)
        line = self.policy.line("waterfalls", name)
        rule = self.append(Rule(DELEVERAGE, "deleverage", (LEDGER,), 0, ("closing",), computing, line=line))
        needs = self.signing.all_keys(CLOSING_KEYS)
        for winner, loser in product(classes, covers):
            for (source,), _ in self.sites.named_by([winner]):
                for (target,), _ in self.sites.named_by([loser]):
                    if source == target and not self.may_be_two(source, winner, f"loser {loser}"):
                        continue
                    self.add_assets(rule, source, target, self.assets, needs, NOBODY)

    def add_rule(self, section: str, name: str, kind: RuleKind, lane: int, words: Gate | Exchange) -> int:
        limit = words.limit
        return self.append(
            Rule(
                name=name,
                kind=kind,
                planes=words.on,
                lane=lane,
                accrual=words.accrual,
                computed_by=tuple(
                    self.service_at[one] for one in words.computed_by if one in self.service_at
                ),
                band_ppm=_band_ppm(words),
                each=self.caps(limit, limit.each),
                all=self.caps(limit, limit.all),
                conditions=tuple(condition.word for condition in words.when),
                delay_ns=words.delay_ns or 0,
                valued_in=self.asset_at.get(limit.valued_in or "", NOBODY),
                line=self.policy.line(section, name),
            )
        )

    def append(self, rule: Rule) -> int:
        self.rules.append(rule)
        return len(self.rules) - 1

    def caps(self, limit: Limits, caps: Mapping[str, PolicyCap]) -> dict[int, Cap]:
        """A value at some price bounds no number of units, so caps `valued_in` an asset do not count here."""
        if limit.valued_in is not None:
            return {}
        return {
            self.asset_at[asset]: Cap(cap.units, cap.window.kind, cap.window.length_ns)
            for asset, cap in caps.items()
            if asset in self.asset_at
        }

    def add_leg(
        self,
        rule: int,
        words: Gate | Exchange,
        source: int,
        target: int,
        binding: Binding,
        assets: Iterable[str],
    ) -> None:
        site = self.sites.rows[source]
        needs = self.signing.all_of(words.needs, site, binding)
        mandate = NOBODY
        if words.standing is not None:
            mandate = self.signing.all_of((words.standing,), site, binding)
        self.add_assets(rule, source, target, assets, needs, mandate)

    def may_be_two(self, place: int, source: str, target: str) -> bool:
        """Say whether one place, named twice, may be that of two members: one stands for all others, and the
        two ends are named by different variables."""
        members = self.sites.rows[place].members.values()
        return self.cast.merged and source != target and not self.cast.others().isdisjoint(members)

    def counted_for(self, source: Site, target: Site) -> int:
        """Return whom the caps of `each` count for: the members in the source's path, else in the target's.

        Members of several families together are one row of their own.
        """
        named = source.members or target.members
        if not named:
            return NOBODY
        name = "/".join(named.values())
        if name not in self.member_at:
            others = not self.cast.others().isdisjoint(named.values())
            self.member_at[name] = len(self.members)
            self.members.append(Member(name, "/".join(named), others))
        return self.member_at[name]

    def add_assets(
        self, rule: int, source: int, target: int, assets: Iterable[str], needs: int, mandate: int
    ) -> None:
        start, end = self.places[source], self.places[target]
        member = self.counted_for(self.sites.rows[source], self.sites.rows[target])
        for asset in assets:
            index = self.asset_at.get(asset, NOBODY)
            if index in start.accepts and index in end.accepts:
                self.ways[Way(rule, source, target, index, needs, mandate, member)] = None


def _band_ppm(words: Gate | Exchange) -> int:
    if not isinstance(words, Exchange):
        return NO_BAND
    if words.price is not None:
        return words.price.ppm
    # What is owed is repaid at its value, to the unit, where no band is declared.
    return 0 if words.accrual else NO_BAND
