"""What `ringfence demo` says on the terminal."""

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from ringfence.cli.output import console

if TYPE_CHECKING:
    from ringfence.replay.headline import Headline
    from ringfence.replay.study import Study
    from ringfence.replay.summary import BookProof


def show_opening(study: "Study") -> None:
    """Say which day it is, over whom, and what stands for what."""
    scene = study.scene
    market = scene.market
    console.print(f"\n[bold]{market.span.words or market.span.name}[/]  ({market.title})", highlight=False)
    console.print(
        f"{len(market.instruments)} coins, {len(market.opened):,} bars; policy {scene.capital.policy.name}; "
        f"{scene.population.words[0]}.",
        highlight=False,
    )
    for note in market.notes:
        console.print(f"[yellow]![/] {note}", highlight=False)
    if market.skipped:
        console.print(f"[yellow]![/] Left out: {', '.join(market.skipped)}.", highlight=False)


def show_client(study: "Study", headline: "Headline", proof: "BookProof | None") -> None:
    """Tell the day of one client."""
    from ringfence.kernel.instant import show_instant
    from ringfence.kernel.money import PRICE_SCALE
    from ringfence.replay.wording import shown_moments

    if headline.hero is None:
        return
    ground = study.scene.grounds["segregated"]
    scale = 10**ground.names.quote_decimals
    bucket = ground.path(int(ground.world.units["comp"][headline.hero.unit]))
    bet = ground.names.instruments[headline.hero.instrument]
    console.print(f"\n[bold]One client, minute by minute[/]: {bucket}, a bet on {bet}", highlight=False)
    table = Table(box=None, pad_edge=False)
    for name, justify in (
        ("UTC", "left"),
        ("mark", "right"),
        ("equity", "right"),
        ("needs", "right"),
        ("", "left"),
    ):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for one in shown_moments(headline.moments):
        table.add_row(
            show_instant(one.at)[11:19],
            f"{one.mark_e10 / PRICE_SCALE:,.6g}",
            f"{one.equity / scale:,.0f}",
            f"{one.requirement / scale:,.0f}",
            Text("; ".join(one.words), style="bold" if one.words else ""),
        )
    console.print(table)
    _show_hash(headline, proof)


def _show_hash(headline: "Headline", proof: "BookProof | None") -> None:
    if proof is None or proof.hashes is None or headline.hero is None:
        return
    before, after = proof.hashes
    same = "[green]the same[/]" if before == after else "[red]NOT the same[/]"
    console.print(
        f"{headline.hero.hedge}: hash before {before[:16]}…, after {after[:16]}…: {same}", highlight=False
    )


def show_layouts(study: "Study", proof: "BookProof | None", unproved: str) -> None:
    """Show the three layouts side by side, and what was found in a sentence."""
    from ringfence.replay.layouts import LAYOUTS
    from ringfence.replay.study import SLIPPAGES_PPM
    from ringfence.replay.summary import sentence
    from ringfence.replay.wording import LAYOUT_WORDS, checks, layout_rows, money_words

    console.print(
        f"\n[bold]Who paid for whom[/]: best order – worst order, money in {money_words(study)}",
        highlight=False,
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for layout in LAYOUTS:
        table.add_column(LAYOUT_WORDS[layout], justify="right", no_wrap=True)
    for number, row in enumerate(layout_rows(study)):
        table.add_row(*row, style="bold" if number < len(SLIPPAGES_PPM) else "")
    console.print(table)
    for words in checks(study, proof, unproved):
        console.print(f"[dim]·[/] {words}", highlight=False)
    style = "green" if study.results["segregated"].holds else "red"
    console.print(f"\n[bold {style}]{sentence(study)}[/]", highlight=False)
