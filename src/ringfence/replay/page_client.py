"""The part of the page that follows one client: its bet against its requirement, and what it kept."""

from collections.abc import Sequence

from ringfence.drawing.charts import Axis, Event, Line, line_chart
from ringfence.drawing.markup import Markup
from ringfence.drawing.page import figure, paragraph, table
from ringfence.kernel.instant import HOUR_NS, show_instant
from ringfence.kernel.money import PRICE_SCALE
from ringfence.replay.headline import Headline
from ringfence.replay.layouts import LAYOUTS
from ringfence.replay.paths import TOLD
from ringfence.replay.study import Study
from ringfence.replay.summary import BookProof
from ringfence.replay.tale import Hero, Moment
from ringfence.replay.wording import LAYOUT_WORDS, short_money, shown_moments, whole

_CALM_BARS = 4


def client_parts(study: Study, headline: Headline, proof: BookProof | None) -> list[Markup]:
    """Return what the section shows; nothing where nobody is followed."""
    hero = headline.hero
    if hero is None:
        return []
    ground = study.scene.grounds["segregated"]
    bet = ground.names.instruments[hero.instrument]
    bucket = ground.path(int(ground.world.units["comp"][hero.unit]))
    opening = f"{ground.clients[hero.client]} has a bet on {bet} in {bucket}"
    opening += f", and a hedge beside it in {hero.hedge}." if hero.hedge else "."
    return [
        paragraph(f"{opening} Only the bet was closed by force, and only its own pool paid for it."),
        _equity_chart(study, headline, hero),
        _moments_table(study, headline),
        *_hash_words(hero, proof),
        _ends_table(study, headline),
    ]


def _equity_chart(study: Study, headline: Headline, hero: Hero) -> Markup:
    run, scene = headline.runs["segregated"], study.scene
    start = int(run.path.at[0])
    points = range(_first_shown(headline.moments), hero.failed_at + 1)
    hours = [(int(run.path.at[point]) - start) / HOUR_NS for point in points]
    equity = [whole(scene, int(run.world.trace[point, 0])) for point in points]
    needed = [whole(scene, int(run.world.trace[point, 1])) for point in points]
    events = [
        Event((int(one.at) - start) / HOUR_NS, words, "bad")
        for one, words in _turning_points(headline.moments)
    ]
    chart = line_chart(
        "Equity of the bet against what it needs",
        "Equity of the client's bucket of bets and its maintenance requirement, until it was closed.",
        [
            Line("equity", list(zip(hours, equity, strict=True)), "accent"),
            Line("requirement", list(zip(hours, needed, strict=True)), "bad", dashed=True),
        ],
        Axis(f"hours after {show_instant(scene.market.span.start)}", lambda value: f"{value:.4g} h"),
        Axis(scene.capital.policy.numeraire, short_money),
        events,
    )
    return figure(chart, f"Prices {TOLD}. The bucket stands alone: nothing else of the client pays for it.")


def _turning_points(moments: Sequence[Moment]) -> list[tuple[Moment, str]]:
    """Pick the first warning, the first call, the first closing and the end: more would not be read."""
    found: list[tuple[Moment, str]] = []
    for said, shown in (("warned", "warned"), ("margin call", "margin call"), ("reduced", "reduced")):
        match = next((one for one in moments[:-1] if any(said in words for words in one.words)), None)
        if match is not None:
            found.append((match, shown))
    return [*found, (moments[-1], "liquidated")] if moments else found


def _first_shown(moments: Sequence[Moment]) -> int:
    """Begin a few bars before the first thing that happened."""
    first = next((number for number, one in enumerate(moments) if one.words), 0)
    return moments[max(0, first - _CALM_BARS)].point if moments else 1


def _moments_table(study: Study, headline: Headline) -> Markup:
    rows = [
        [
            show_instant(one.at)[11:19],
            f"{one.mark_e10 / PRICE_SCALE:,.6g}",
            f"{whole(study.scene, one.equity):,.0f}",
            f"{whole(study.scene, one.requirement):,.0f}",
            f"{100 * one.equity / one.requirement:,.0f}\u202f%" if one.requirement else "",
            "; ".join(one.words),
        ]
        for one in shown_moments(headline.moments)
    ]
    header = ["UTC", "mark", "equity", "requirement", "health", "what happened"]
    return table("The day of the bet. Times inside a bar are interpolated.", header, rows, text=True)


def _hash_words(hero: Hero, proof: BookProof | None) -> list[Markup]:
    if proof is None or proof.hashes is None:
        return []
    before, after = proof.hashes
    same = "the same to the last bit" if before == after else "NOT the same"
    words = (
        f"In the book, the hash of {hero.hedge} is {before[:16]}… before the bet beside it is closed and "
        f"{after[:16]}… after everything that made due: {same}."
    )
    return [paragraph(words)]


def _ends_table(study: Study, headline: Headline) -> Markup:
    def row(words: str, parts: Sequence[tuple[str, int]], total: int) -> list[str]:
        amounts = (*(units for _, units in parts), total)
        return [words, *(f"{whole(study.scene, units):,.0f}" for units in amounts)]

    rows = [row("at the start", headline.began, sum(units for _, units in headline.began))]
    for layout in LAYOUTS:
        ends = headline.ends[layout]
        total = (
            sum(max(0, units) for _, units in ends)
            if layout == "segregated"
            else sum(units for _, units in ends)
        )
        rows.append(row(f"at the end, {LAYOUT_WORDS[layout]}", ends, max(0, total)))
    return table(
        "What the client has in each strategy. Below zero: other collateral paid for it.",
        ["", *(name for name, _ in headline.began), "in all"],
        rows,
        strong=[1],
    )
