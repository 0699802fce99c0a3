"""The study as one page that a chief risk officer would keep: what crossed, who paid, one client's day."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ringfence.drawing.charts import Axis, Band, Bar, Line, Tone, band_chart, bar_chart, line_chart
from ringfence.drawing.maps import Area, Arrow, Place, place_map
from ringfence.drawing.markup import Markup
from ringfence.drawing.page import Section, Tile, bullets, figure, page, paragraph, table, tiles, verdict
from ringfence.kernel.instant import HOUR_NS, MINUTE_NS, show_instant
from ringfence.replay.headline import SLIPPAGE_PPM, Headline
from ringfence.replay.layouts import LAYOUTS
from ringfence.replay.page_client import client_parts
from ringfence.replay.paths import TOLD
from ringfence.replay.study import SLIPPAGES_PPM, Study
from ringfence.replay.summary import BookProof, assumptions, sentence, show_units
from ringfence.replay.wording import LAYOUT_WORDS, checks, layout_rows, money_words, short_money, whole


def show_page(study: Study, headline: Headline, proof: BookProof | None, unproved: str, command: str) -> str:
    """Write the page; unproved: why no book was kept, where none was; command: what makes this page again."""
    scene, market = study.scene, study.scene.market
    name = market.span.words or market.span.name
    lead = (
        f"{name[:1].upper()}{name[1:]}, replayed over {scene.population.makers_from:,} clients under the "
        f"policy {scene.capital.policy.name} and under two other ways of holding the same money. Prices: "
        f"{market.title}."
    )
    client = Section("One client through the day", client_parts(study, headline, proof))
    sections = [
        Section("Who paid for whom", _who_paid(study)),
        Section("Where the losses went", _where_it_went(study, headline)),
        *([client] if headline.hero is not None else []),
        Section("The market", _market(study)),
        Section("The walls", _walls(study)),
        Section("What was checked", [bullets(checks(study, proof, unproved))]),
        Section("What was assumed", [bullets(assumptions(scene))]),
    ]
    opening = [verdict(sentence(study), holds=study.results["segregated"].holds), _tiles(study, proof)]
    return page(f"{market.span.name}: what crossed the walls", lead, opening, sections, f"Made by: {command}")


def _tiles(study: Study, proof: BookProof | None) -> Markup:
    shown = []
    for layout in LAYOUTS:
        worst = study.results[layout].bands["foreign_loss"].worst
        wiped = study.results[layout].bands["clients_wiped_out"].worst
        words = f"{LAYOUT_WORDS[layout]}: foreign loss at worst; {wiped:,} clients wiped out"
        shown.append(Tile(short_money(whole(study.scene, worst)), words, "bad" if worst else "good"))
    if proof is not None:
        shown.append(
            Tile("verified" if proof.verified else "BROKEN", "the journal of the book that lived it again")
        )
    return tiles(shown)


# --- who paid ----------------------------------------------------------------------------------


def _who_paid(study: Study) -> list[Markup]:
    bands = []
    for layout in LAYOUTS:
        band = study.results[layout].bands["foreign_loss"]
        low, high = whole(study.scene, band.best), whole(study.scene, band.worst)
        words = short_money(high) if low == high else f"{short_money(low)} to {short_money(high)}"
        bands.append(Band(LAYOUT_WORDS[layout], low, high, words, "bad" if high else "good"))
    chart = band_chart(
        "Foreign loss",
        "For each layout, client collateral that paid for another strategy's or client's deficit, from "
        "the best to the worst order of moves over all slippages.",
        bands,
        _money_axis(study),
    )
    rows = layout_rows(study)
    return [
        paragraph(
            "Foreign loss is client collateral that paid for another strategy's or another client's "
            "deficit. Nobody knows in which order prices moved inside a bar, so each figure is a band "
            "from the best order to the worst."
        ),
        figure(chart, "Foreign loss over all orders of moves and all slippages."),
        table(
            f"Each cell: best order – worst order. Money in {money_words(study)}.",
            ["", *(LAYOUT_WORDS[layout] for layout in LAYOUTS)],
            rows,
            strong=range(len(SLIPPAGES_PPM)),
        ),
    ]


def _where_it_went(study: Study, headline: Headline) -> list[Markup]:
    parts: Sequence[tuple[str, str, Tone]] = (
        ("insurance pools", "insurance_used", "accent"),
        ("winners, deleveraged", "profit_forgone", "calm"),
        ("the house", "house_loss", "muted"),
        ("other client collateral", "foreign_loss", "bad"),
    )
    bars = []
    for layout in LAYOUTS:
        found = headline.figures[layout]
        sizes = [(words, whole(study.scene, getattr(found, column)), tone) for words, column, tone in parts]
        total = sum(size for _, size, _ in sizes)
        bars.append(Bar(LAYOUT_WORDS[layout], sizes, short_money(total)))
    chart = bar_chart(
        "Who bore what the failed could not pay",
        "For each layout one bar: what pools, deleveraged winners, the house and other client collateral "
        "bore.",
        bars,
        _money_axis(study),
    )
    crossed = [
        f"{LAYOUT_WORDS[layout]}: {show_units(study.scene, one.units)} through {one.name}"
        for layout in LAYOUTS
        for one in study.results[layout].conduits
    ]
    caption = f"One run of each layout: prices {TOLD}; closures at {SLIPPAGE_PPM / 10_000:g} % slippage."
    return [
        figure(chart, caption),
        paragraph("In the worst run of each layout client collateral crossed here:"),
        bullets(crossed),
    ]


def _money_axis(study: Study) -> Axis:
    return Axis(study.scene.capital.policy.numeraire, short_money)


# --- the market and the walls ------------------------------------------------------------------


def _market(study: Study) -> list[Markup]:
    market = study.scene.market
    lows = market.prices_e10[:, :, 2] / market.start_e10 * 100
    hours = [float(one) for one in (market.opened - market.opened[0]) / HOUR_NS]
    chosen = {} if len(market.symbols) == 1 else {"median coin": np.median(lows, axis=1)}
    worst = int(np.argmin(lows.min(axis=0)))
    chosen[market.symbols[worst]] = lows[:, worst]
    if "BTCUSDT" in market.symbols:
        chosen["BTCUSDT"] = lows[:, market.symbols.index("BTCUSDT")]
    tones: Sequence[Tone] = ("bad", "muted", "accent")
    lines = [
        Line(name, [(x, float(y)) for x, y in zip(hours, values, strict=True)], tone, dashed=tone == "muted")
        for (name, values), tone in zip(chosen.items(), tones, strict=False)
    ]
    chart = line_chart(
        "Lows of each bar",
        "The low of each bar as a percentage of the first price: the median coin, the worst coin and "
        "Bitcoin.",
        lines,
        Axis(f"hours after {show_instant(market.span.start)}", lambda value: f"{value:g} h"),
        Axis("percent of the first price", lambda value: f"{value:.0f} %"),
    )
    bar = market.bar_ns // MINUTE_NS
    caption = f"The low of each of {len(market.opened):,} bars of {bar} min; {len(market.symbols)} coins."
    return [figure(chart, caption), bullets(market.notes)]


def _walls(study: Study) -> list[Markup]:
    """Draw the compartments of a client, the pools and the house, and who pays for whom."""
    ground = study.scene.grounds["segregated"]
    homes = list(dict.fromkeys(sleeve.pattern for sleeve in study.scene.population.placement.sleeves))
    pools = list(dict.fromkeys(pool for covers in ground.covers for pool in covers))
    lasts = list(dict.fromkeys(one.last for one in ground.policy.waterfalls.values() if one.last))
    strategies = {home: (ground.policy.compartments[home].strategy or "holding") for home in homes}
    areas = [
        Area("each client", [Place(_tail(home), strategies[home].replace("_", " ")) for home in homes]),
        Area("pools", [Place(pool, "pays what its buckets cannot") for pool in pools if pool not in homes]),
        Area("the house", [Place(last, "stands last, against a debt") for last in lasts]),
    ]
    pays = zip(ground.kinds, ground.covers, strict=True)
    arrows = [
        Arrow(pool, _tail(kind), "", "accent")
        for kind, covers in pays
        for pool in covers
        if pool not in homes
    ]
    fed = {frozenset((one.source, one.target)) for one in ground.feeds}
    for one, other in pairwise(home for home in homes if home in ground.kinds):
        is_open = frozenset((one, other)) in fed
        words = "the platform has a gate" if is_open else "no gate"
        arrows.append(Arrow(_tail(one), _tail(other), words, "bad", barred=not is_open))
    chart = place_map(
        "Compartments and who pays for whom",
        "Each client's compartments, the pools that pay for their shortfalls, and the house that stands "
        "last.",
        [area for area in areas if area.places],
        arrows,
    )
    return [figure(chart, f"The policy {ground.policy.name}, as the replay used it.")]


def _tail(pattern: str) -> str:
    return pattern.rpartition("/")[2]
