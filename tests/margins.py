"""The cast of the margin tests: coins, brackets and instruments small enough to work out by hand."""

from decimal import Decimal

from hypothesis import strategies as st

from ringfence.kernel.money import PPM, PRICE_SCALE
from ringfence.margin.bucket import Bucket, Position, RestingOrder
from ringfence.margin.collateral import Coin
from ringfence.margin.instruments import Contract
from ringfence.margin.marks import Prices
from ringfence.margin.terms import Terms
from ringfence.margin.tiers import compile_tiers
from ringfence.policy.model import CallLevel, Fees, HaircutTier, Thresholds, Tier

USDC = 10**6
BTC = 10**8
HOUR_NS = 3_600_000_000_000

THRESHOLDS = Thresholds(
    free_ppm=1_500_000,
    warn_ppm=1_200_000,
    call=CallLevel(at_ppm=1_100_000, cure_ns=4 * HOUR_NS),
    reduce_only_ppm=1_050_000,
    liquidate_ppm=1_000_000,
    stop_at_ppm=1_100_000,
)

COINS = {
    "USDC": Coin("USDC", 6, "USDC", (HaircutTier(floor_units=0, ppm=0),)),
    "BTC": Coin(
        "BTC",
        8,
        "BTC",
        (HaircutTier(floor_units=0, ppm=50_000), HaircutTier(floor_units=10 * BTC, ppm=200_000)),
    ),
    "ETH": Coin("ETH", 18, "ETH", (HaircutTier(floor_units=0, ppm=70_000),)),
    "JUNK": Coin("JUNK", 6, "JUNK"),
}

# Floors of 0, 100k, 1M: 1 % at 50 times, 2 % at 25 times, 5 % at 10 times.
TIERS = (
    Tier(floor_units=0, maintenance_ppm=10_000, leverage_max=50),
    Tier(floor_units=100_000 * USDC, maintenance_ppm=20_000, leverage_max=25),
    Tier(floor_units=1_000_000 * USDC, maintenance_ppm=50_000, leverage_max=10),
)
COIN_TIERS = (
    Tier(floor_units=0, maintenance_ppm=5_000, leverage_max=100),
    Tier(floor_units=10 * BTC, maintenance_ppm=10_000, leverage_max=50),
)
FLAT = (Tier(floor_units=0, maintenance_ppm=10_000, leverage_max=50),)


def e10(price: str | int) -> int:
    """Write a price at PRICE_SCALE."""
    return int(Decimal(price) * PRICE_SCALE)


def linear(
    name: str,
    underlying: str,
    size: str = "0.001",
    tick: str = "0.1",
    tiers: tuple[Tier, ...] = TIERS,
    fees: Fees = Fees(),  # noqa: B008 - a frozen value
    quote: str = "USDC",
    quote_decimals: int = 6,
) -> Contract:
    """Make a linear contract of `size` of the underlying."""
    return Contract(
        name, True, underlying, quote, e10(size) * 10**quote_decimals, e10(tick), compile_tiers(tiers), fees
    )


def inverse(
    name: str,
    coin: str = "BTC",
    dollars: str = "1",
    tick: str = "0.5",
    tiers: tuple[Tier, ...] = COIN_TIERS,
    fees: Fees = Fees(),  # noqa: B008 - a frozen value
    decimals: int = 8,
) -> Contract:
    """Make an inverse contract of `dollars` that settles in the coin."""
    return Contract(
        name, False, coin, coin, e10(dollars) * 10**decimals, e10(tick), compile_tiers(tiers), fees
    )


BTC_PERP = linear("BTC-PERP", "BTC")
ETH_PERP = linear("ETH-PERP", "ETH", size="0.01", tick="0.01")
BTC_DEC = linear("BTC-DEC", "BTC")
BTC_INVERSE = inverse("BTC-INVERSE")
CONTRACTS = {one.name: one for one in (BTC_PERP, ETH_PERP, BTC_DEC, BTC_INVERSE)}


def terms(
    *contracts: Contract, thresholds: Thresholds | None = THRESHOLDS, coins: dict[str, Coin] = COINS
) -> Terms:
    """Make terms in USDC with the usual coins, two debts, and the given contracts (default: all of them)."""
    return Terms(
        numeraire="USDC",
        decimals=6,
        coins=coins,
        debts={"USDC-debt": "USDC", "BTC-debt": "BTC"},
        contracts={one.name: one for one in contracts} or CONTRACTS,
        thresholds=thresholds,
    )


def opened(contract: Contract, contracts: int, price: str | int) -> Position:
    """Open a position at a price."""
    return Position(contract.name, contracts, contract.booked_value(contracts, e10(price)))


def bucket(
    *positions: Position, orders: tuple[RestingOrder, ...] = (), mode: str = "cross", **balances: int
) -> Bucket:
    """Make a bucket; write `USDC_debt` for the asset USDC-debt."""
    held = {name.replace("_", "-"): units for name, units in balances.items()}
    return Bucket(mode, held, positions, orders)  # type: ignore[arg-type]


def percent(share: str) -> int:
    """Write a percentage in ppm."""
    return int(Decimal(share) * PPM / 100)


# --- any bucket --------------------------------------------------------------------------------

PRICES = Prices(
    {"BTC": e10(60_000), "ETH": e10(3_000)},
    {
        "BTC-PERP": e10("60000.1"),
        "ETH-PERP": e10("3000.01"),
        "BTC-DEC": e10("60500.5"),
        "BTC-INVERSE": e10("60000.5"),
    },
)


@st.composite
def any_prices(draw: st.DrawFn) -> Prices:
    """Draw prices around the usual ones: marks on the tick, each within a factor of three."""
    assets = {coin: draw(st.integers(now // 3, now * 3)) for coin, now in PRICES.assets.items()}
    marks = {}
    for name, now in PRICES.marks.items():
        tick = CONTRACTS[name].tick_e10
        marks[name] = draw(st.integers(now // 3 // tick, now * 3 // tick)) * tick
    return Prices(assets, marks)


@st.composite
def any_position(draw: st.DrawFn, contract: Contract) -> Position:
    """Draw a position of some millions at most, opened within a factor of two of the usual mark."""
    now, tick = PRICES.marks[contract.name], contract.tick_e10
    entry = draw(st.integers(now // 2 // tick, now * 2 // tick)) * tick
    contracts = draw(st.integers(-100_000, 100_000))
    realised = draw(st.integers(-1000, 1000)) * (USDC if contract.is_linear else 1_000)
    return Position(contract.name, contracts, contract.booked_value(contracts, entry) - realised)


@st.composite
def any_bucket(draw: st.DrawFn, contracts: tuple[Contract, ...] = tuple(CONTRACTS.values())) -> Bucket:
    """Draw a bucket with some coins, perhaps debts, and positions in some of the contracts."""
    chosen = draw(st.lists(st.sampled_from(contracts), unique_by=lambda one: one.name, max_size=4))
    return Bucket(
        "cross",
        {
            "USDC": draw(st.integers(0, 5_000_000)) * USDC + draw(st.integers(0, USDC)),
            "BTC": draw(st.integers(0, 30 * BTC)),
            "ETH": draw(st.integers(0, 10**20)),
            "USDC-debt": draw(st.sampled_from([0, 0, 12_345_678, 10**12])),
            "BTC-debt": draw(st.sampled_from([0, 0, 0, 12_345_678])),
        },
        tuple(draw(any_position(contract)) for contract in chosen),
    )
