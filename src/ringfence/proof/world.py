"""One authority graph: who can sign what, who can reach whom, and what moves value where.

A `World` is flat: tables of rows that name each other by position. It holds whatever is known of a platform,
be it read from a policy (see `grounding`), observed on a running system, or added by another part
(`extend`). The engines read it, and so does the separate checker of certificates: this module and `grounding`
are the only code the two share.

Written as JSON a world is one object whose fields are the tables below (docs/reference/proof.md shows one).
Nothing in it is computed: `needs` are trees of signatures, `ways` are single arcs, and which of them matter
is for each engine to say for itself.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from ringfence.kernel.digest import tagged_digest
from ringfence.kernel.errors import BadInput
from ringfence.policy.families import match

FORMAT = "ringfence world 1"

NOBODY = -1
"""The position of nothing: a place without member, a way without mandate."""

DEPTH_MAX = 64
"""How deep needs may be built from others."""

RuleKind = Literal["gate", "exchange", "deleverage"]


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One row of a table."""


class Member(Row, frozen=True):
    """One member of a family, or of several families together (`fund_one/basis`). others: stands for every
    member that is not named."""

    name: str
    party: str
    others: bool = False


class Key(Row, frozen=True):
    """Something that signs. given: it signs on evidence, so an attacker is assumed to get its signature;
    person and host: whose it is, and the machine it lives on."""

    name: str
    given: bool = False
    person: str = ""
    host: str = ""


class Service(Row, frozen=True):
    """A running part of the platform and the keys that fall with it."""

    name: str
    holds: tuple[int, ...] = ()


class Derivation(Row, frozen=True):
    """Whoever has every key of `known` can compute the key `gives`."""

    known: tuple[int, ...]
    gives: int


class Need(Row, frozen=True, array_like=True):
    """At least `count` of these keys and of these other needs (positions below its own)."""

    count: int
    keys: tuple[int, ...] = ()
    parts: tuple[int, ...] = ()


class Cap(Row, frozen=True, array_like=True):
    """At most `units` per window of `length_ns`."""

    units: int
    kind: Literal["fixed", "refill", "rolling"]
    length_ns: int


class Trade(Row, frozen=True):
    """A bucket that trades: the need for its orders, the assets its instruments settle in, and by asset the
    most it may lose in one UTC day."""

    needs: int
    settles: tuple[int, ...] = ()
    daily_loss: dict[int, int] = {}


class Place(Row, frozen=True):
    """One compartment.

    accepts: assets, by position; nets: whatever enters must leave in the same request; supply: units it
    holds by asset, for questions that start from balances (absent: as much as one likes).
    """

    name: str
    external: bool = False
    owner: str = ""
    role: str = ""
    accepts: tuple[int, ...] = ()
    member: int = NOBODY
    nets: bool = False
    trade: Trade | None = None
    supply: dict[int, int] | None = None


class Rule(Row, frozen=True):
    """What a gate, a leg of an exchange, or a step of a waterfall says for all of its ways.

    lane: 0, or the number of the direction or leg; planes: who checks it; delay_ns: how long it waits before
    it fires; accrual and computed_by: what is owed, and the services whose common lie would be believed;
    band_ppm: how far from a fair price the legs of an exchange may be (-1: no price is asked); each and all:
    caps by asset.
    """

    name: str
    kind: RuleKind
    planes: tuple[str, ...]
    lane: int = 0
    accrual: tuple[str, ...] = ()
    computed_by: tuple[int, ...] = ()
    band_ppm: int = -1
    each: dict[int, Cap] = {}
    all: dict[int, Cap] = {}
    conditions: tuple[str, ...] = ()
    delay_ns: int = 0
    valued_in: int = NOBODY
    line: str = ""


class Way(Row, frozen=True, array_like=True):
    """One arc: units of `asset` may go from `source` to `target` under `rule`.

    needs: what must sign; mandate: what a standing order adds to that where nobody is assumed to have given
    one (NOBODY: nothing); member: whom the caps of `each` count for.
    """

    rule: int
    source: int
    target: int
    asset: int
    needs: int
    mandate: int = NOBODY
    member: int = NOBODY


class World(Row, frozen=True):
    """Everything known, in tables. verifiers: by plane, the service that checks it (NOBODY: a contract that
    no service owns); printers and pricers: services that can bring fills, and prices, to the ledger."""

    format: str
    policy: str
    assets: tuple[str, ...]
    members: tuple[Member, ...]
    keys: tuple[Key, ...]
    services: tuple[Service, ...]
    flows: tuple[tuple[int, int], ...]
    derivations: tuple[Derivation, ...]
    verifiers: dict[str, int]
    printers: tuple[int, ...]
    pricers: tuple[int, ...]
    places: tuple[Place, ...]
    needs: tuple[Need, ...]
    rules: tuple[Rule, ...]
    ways: tuple[Way, ...]

    def node(self, place: int, asset: int) -> int:
        """Number a (compartment, asset); `place_of` and `asset_of` take it apart again."""
        return place * len(self.assets) + asset

    def place_of(self, node: int) -> Place:
        """Return the compartment of a node."""
        return self.places[node // len(self.assets)]

    def asset_of(self, node: int) -> str:
        """Return the asset of a node."""
        return self.assets[node % len(self.assets)]

    def digest(self) -> str:
        """Return the digest of all tables in hexadecimal."""
        return tagged_digest(FORMAT, write(self)).hex()


def position(rows: Iterable[Member | Key | Service | Place], name: str) -> int:
    """Return the position of the row of that name; NOBODY where there is none."""
    return next((index for index, row in enumerate(rows) if row.name == name), NOBODY)


def write(world: World) -> bytes:
    """Write a world as JSON; `read` gives the same world back."""
    return msgspec.json.encode(world)


def read(text: bytes) -> World:
    """Read a world from JSON; BadInput where a table is malformed or a row names what is not there."""
    try:
        world = msgspec.json.decode(text, type=World)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"this is no world of facts: {error}") from None
    check(world)
    return world


def check(world: World) -> None:
    """Refuse a world whose rows name positions that do not exist, needs that are not trees, names that mean
    two rows, and caps that are none."""
    if world.format != FORMAT:
        raise BadInput(f"the world says `{world.format}`; this program reads `{FORMAT}`")
    for kind, names in _names(world):
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise BadInput(f"the world has two {kind} called `{twice}`")
    caps = [cap for rule in world.rules for caps in (rule.each, rule.all) for cap in caps.values()]
    if any(cap.units < 0 or cap.length_ns < 1 for cap in caps):
        raise BadInput("a cap of the world lets less than nothing through, or in no time")
    limits: dict[str, Rule] = {}
    for rule in world.rules:
        first = limits.setdefault(rule.name, rule)
        if (rule.each, rule.all) != (first.each, first.all):
            raise BadInput(f"two directions of `{rule.name}` in the world have other caps, which they share")
    for name, positions, size in _references(world):
        low, high = min(positions, default=0), max(positions, default=NOBODY)
        if low < NOBODY or high >= size:
            raise BadInput(f"{name} of the world names row {high if high >= size else low} of {size}")
    depths: list[int] = []
    for index, need in enumerate(world.needs):
        if any(not 0 <= part < index for part in need.parts):
            raise BadInput(f"need {index} of the world is built from a later one")
        depths.append(1 + max((depths[part] for part in need.parts), default=0))
        if depths[-1] > DEPTH_MAX:
            raise BadInput(f"need {index} of the world is built more than {DEPTH_MAX} deep")


def _names(world: World) -> Iterable[tuple[str, list[str]]]:
    yield "assets", list(world.assets)
    yield "keys", [row.name for row in world.keys]
    yield "services", [row.name for row in world.services]
    yield "compartments", [row.name for row in world.places]


def _references(world: World) -> Iterable[tuple[str, list[int], int]]:
    keys, services, assets = len(world.keys), len(world.services), len(world.assets)
    members, places = len(world.members), len(world.places)
    yield "a service", [key for service in world.services for key in service.holds], keys
    yield "a flow", [end for flow in world.flows for end in flow], services
    yield "a derivation", [key for rule in world.derivations for key in (*rule.known, rule.gives)], keys
    yield "a verifier", [*world.verifiers.values(), *world.printers, *world.pricers], services
    yield "a need", [key for need in world.needs for key in need.keys], keys
    yield "a compartment", [asset for place in world.places for asset in place.accepts], assets
    yield "a compartment", [place.member for place in world.places], members
    trades = [place.trade for place in world.places if place.trade is not None]
    yield "a bucket", [trade.needs for trade in trades], len(world.needs)
    yield "a bucket", [asset for trade in trades for asset in (*trade.settles, *trade.daily_loss)], assets
    yield "a rule", [service for rule in world.rules for service in rule.computed_by], services
    yield "a rule", [asset for rule in world.rules for asset in (*rule.each, *rule.all)], assets
    yield "a way", [way.rule for way in world.ways], len(world.rules)
    yield "a way", [end for way in world.ways for end in (way.source, way.target)], places
    yield "a way", [way.asset for way in world.ways], assets
    yield "a way", [need for way in world.ways for need in (way.needs, way.mandate)], len(world.needs)
    yield "a way", [way.member for way in world.ways], members


# --- facts that other parts add ----------------------------------------------------------------


class AddKey(Row, frozen=True, tag="key", tag_field="fact"):
    """There is a key; `held_by` falls with it where it is a service."""

    name: str
    given: bool = False
    person: str = ""
    host: str = ""
    held_by: str = ""


class AddHolding(Row, frozen=True, tag="holds", tag_field="fact"):
    """A service has a key; the name of a family's key without a member means that of every member."""

    service: str
    key: str


class AddFlow(Row, frozen=True, tag="flow", tag_field="fact"):
    """One service can open connections to another."""

    source: str
    target: str


class SetFlows(Row, frozen=True, tag="flows", tag_field="fact"):
    """These are all connections that services can open to each other, declared or not, as they were observed:
    source and target of each."""

    pairs: tuple[tuple[str, str], ...]


class AddDerivation(Row, frozen=True, tag="derives", tag_field="fact"):
    """Whoever has these keys can compute another, e.g. a parent from its public half and a child."""

    known: tuple[str, ...]
    gives: str


class AddSupply(Row, frozen=True, tag="supply", tag_field="fact"):
    """A compartment holds units of an asset, or each of a family does (`client/{client}/cash`); those without
    such a fact then hold nothing."""

    place: str
    asset: str
    units: int


class AddWay(Row, frozen=True, tag="way", tag_field="fact"):
    """Something outside the policy moves value too, e.g. a venue key that may withdraw; all `needs` sign."""

    rule: str
    source: str
    target: str
    asset: str
    needs: tuple[str, ...]
    planes: tuple[str, ...]
    cap: Cap | None = None


class AddFeed(Row, frozen=True, tag="feed", tag_field="fact"):
    """A service can bring fills, or prices, to the ledger."""

    service: str
    brings: Literal["fills", "prices"]


Fact = AddKey | AddHolding | AddFlow | SetFlows | AddDerivation | AddSupply | AddWay | AddFeed


def read_facts(text: bytes) -> tuple[Fact, ...]:
    """Read a JSON list of facts; BadInput where one is malformed."""
    try:
        return msgspec.json.decode(text, type=tuple[Fact, ...])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"these are no facts about a world: {error}") from None


def extend(world: World, facts: Iterable[Fact]) -> World:
    """Return the world with more facts; BadInput where a fact names what neither it nor they know."""
    for fact in sorted(facts, key=_turn):
        world = _with_fact(world, fact)
    return world


def _turn(fact: Fact) -> int:
    """Say when a fact is added: keys first, that others may name; all flows before single ones."""
    return 0 if isinstance(fact, AddKey) else 1 if isinstance(fact, SetFlows) else 2


def _with_fact(world: World, fact: Fact) -> World:
    match fact:
        case AddKey():
            return _with_key(world, fact)
        case AddHolding():
            return _with_holding(world, fact.service, _keys_called(world, fact.key))
        case AddFlow():
            ends = (
                _named(world.services, fact.source, "service"),
                _named(world.services, fact.target, "service"),
            )
            return msgspec.structs.replace(world, flows=(*world.flows, ends))
        case SetFlows():
            flows = tuple(
                (_named(world.services, source, "service"), _named(world.services, target, "service"))
                for source, target in fact.pairs
            )
            return msgspec.structs.replace(world, flows=flows)
        case AddDerivation():
            known = tuple(_named(world.keys, name, "key") for name in fact.known)
            derivation = Derivation(known, _named(world.keys, fact.gives, "key"))
            return msgspec.structs.replace(world, derivations=(*world.derivations, derivation))
        case AddSupply():
            return _with_supply(world, fact)
        case AddWay():
            return _with_way(world, fact)
        case AddFeed(brings="fills"):
            printers = (*world.printers, _named(world.services, fact.service, "service"))
            return msgspec.structs.replace(world, printers=printers)
        case AddFeed():
            pricers = (*world.pricers, _named(world.services, fact.service, "service"))
            return msgspec.structs.replace(world, pricers=pricers)


def _with_key(world: World, fact: AddKey) -> World:
    if position(world.keys, fact.name) != NOBODY:
        raise BadInput(f"the key `{fact.name}` is known already")
    key = Key(fact.name, fact.given, fact.person, fact.host)
    world = msgspec.structs.replace(world, keys=(*world.keys, key))
    return _with_holding(world, fact.held_by, (len(world.keys) - 1,)) if fact.held_by else world


def _keys_called(world: World, name: str) -> tuple[int, ...]:
    """Return the key of this name, or those of every member where it is a family's."""
    of_members = (index for index, key in enumerate(world.keys) if key.name.startswith(f"{name}/"))
    return tuple(of_members) or (_named(world.keys, name, "key"),)


def _with_holding(world: World, service: str, keys: tuple[int, ...]) -> World:
    index = _named(world.services, service, "service")
    services = list(world.services)
    services[index] = Service(service, (*services[index].holds, *keys))
    return msgspec.structs.replace(world, services=tuple(services))


def _with_supply(world: World, fact: AddSupply) -> World:
    asset = _asset(world, fact.asset)
    if fact.units < 0:
        raise BadInput(f"`{fact.place}` cannot hold {fact.units} units")
    wanted = [place.name for place in world.places if match(fact.place, place.name) is not None]
    if not wanted:
        raise BadInput(f"no compartment is called `{fact.place}`")
    places = []
    for place in world.places:
        supply = place.supply or {}
        if place.name in wanted:
            supply = {**supply, asset: fact.units}
        places.append(msgspec.structs.replace(place, supply=supply))
    return msgspec.structs.replace(world, places=tuple(places))


def _with_way(world: World, fact: AddWay) -> World:
    if any(rule.name == fact.rule for rule in world.rules):
        raise BadInput(f"there is a rule called `{fact.rule}` already; give the new one a name of its own")
    asset = _asset(world, fact.asset)
    caps: Mapping[int, Cap] = {asset: fact.cap} if fact.cap else {}
    rule = Rule(fact.rule, "gate", fact.planes, all=dict(caps))
    keys = tuple(_named(world.keys, name, "key") for name in fact.needs)
    way = Way(
        len(world.rules),
        _named(world.places, fact.source, "compartment"),
        _named(world.places, fact.target, "compartment"),
        asset,
        len(world.needs),
    )
    return msgspec.structs.replace(
        world,
        rules=(*world.rules, rule),
        needs=(*world.needs, Need(len(keys), keys)),
        ways=(*world.ways, way),
    )


def _named(rows: Iterable[Member | Key | Service | Place], name: str, kind: str) -> int:
    index = position(rows, name)
    if index == NOBODY:
        raise BadInput(f"no {kind} is called `{name}`")
    return index


def _asset(world: World, name: str) -> int:
    if name not in world.assets:
        raise BadInput(f"no asset is called `{name}`; the assets are {', '.join(world.assets)}")
    return world.assets.index(name)
