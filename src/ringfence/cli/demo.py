"""`ringfence demo`: a real crash, replayed over one policy and over two other ways of holding the same money.

It follows one client through the day, shows who paid for whom under each layout, lives the day again in a
real book, and writes a page. Exit code 1 where a loss crossed a wall, or a layout proves nothing.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from ringfence.cli.demo_words import show_client, show_layouts, show_opening
from ringfence.cli.output import Json, console, errors, print_json, progress

if TYPE_CHECKING:
    from ringfence.replay.headline import Headline
    from ringfence.replay.study import Scene, Study
    from ringfence.replay.summary import BookProof

CLIENTS = 500
SEED = 2025
PAGE = "ringfence-demo.html"


def demo(
    policy: Annotated[
        str, typer.Option("--policy", help="Policy file, or the name of an example.", metavar="POLICY")
    ] = "venue",
    data: Annotated[
        Path | None, typer.Option("--data", help="Candles: a Parquet or CSV file, or a folder of them.")
    ] = None,
    window: Annotated[
        str | None, typer.Option("--window", help="A crash by name, e.g. 2025-10-10, or FROM/TO in UTC.")
    ] = None,
    clients: Annotated[int, typer.Option("--clients", help="How many clients: 10 to 100000.")] = CLIENTS,
    seed: Annotated[int, typer.Option("--seed", help="The seed that the population is drawn from.")] = SEED,
    out: Annotated[Path, typer.Option("--out", help="Where to write the page.")] = Path(PAGE),
    as_json: Json = False,
) -> None:
    """Replay a crash: what crosses the walls of a policy, and what crosses where there are none."""
    from ringfence import wiring, wiring_files
    from ringfence.replay.headline import run_headline
    from ringfence.replay.page import show_page
    from ringfence.replay.study import run_study, set_scene
    from ringfence.replay.summary import data_of, faults

    began = time.monotonic()
    loaded = wiring_files.load_policy(policy)
    market = wiring.load_market(loaded, data, window)
    with progress("compiling the replay (kept for the next run)"):
        _compile(set_scene(loaded, market, 10, seed))
    prepared = time.monotonic()
    with _counted("replaying") as on_run:
        study = run_study(set_scene(loaded, market, clients, seed), on_run)
    headline = run_headline(study.scene)
    proof, unproved, disagreement = _book(study.scene, headline)
    command = _command(policy, data, window, clients, seed)
    out.write_text(show_page(study, headline, proof, unproved, command), encoding="utf-8")
    took = Timing(prepared - began, time.monotonic() - prepared)
    if as_json:
        seconds = {"set_up": round(took.set_up_s, 1), "run": round(took.run_s, 1)}
        print_json({**data_of(study, proof, unproved), "seconds": seconds, "page": str(out)})
    else:
        _show(study, headline, proof, unproved, took, out)
    _end((*faults(study), *disagreement))


@dataclass(frozen=True, slots=True)
class Timing:
    """How long it took: reading and compiling, and the replay itself."""

    set_up_s: float
    run_s: float


def _compile(scene: "Scene") -> None:
    """Run everything compiled once on a few clients, so that the replay itself is timed without that."""
    from ringfence.replay.contagion import capital_frozen
    from ringfence.replay.engine import replay
    from ringfence.replay.paths import price_path

    path = price_path(scene.market, "low first")
    for ground in scene.grounds.values():
        replay(ground, scene.population, path, 0)
    capital_frozen(scene.grounds["segregated"], scene.grounds["cross"], scene.market.start_e10)


def _book(scene: "Scene", headline: "Headline") -> tuple["BookProof | None", str, tuple[str, ...]]:
    """Live the headline run again in a book; return its proof, or why there is none, and what disagreed.

    A policy of which the run used a gate that a book keeps shut has no proof and no fault.
    """
    from ringfence import wiring
    from ringfence.kernel.errors import ViolationError
    from ringfence.services.mirror import Watch

    if len(scene.population.names) > MIRRORED_MAX:
        return (
            None,
            f"a book is kept up to {MIRRORED_MAX:,} clients and makers; take fewer with --clients",
            (),
        )
    shut = _shut_gates(headline)
    if shut:
        words = "a gate that this run used stays shut in a book, because it uses a word not enforced yet: "
        return None, words + ", ".join(shut), ()
    hero = headline.hero
    watch = Watch(hero.unit, hero.hedge) if hero is not None and hero.hedge else None
    run = headline.runs["segregated"]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "demo.book"
        try:
            with _stepped("keeping the book, and reading its journal back") as on_step:
                proof = wiring.live_again(run, scene.population, watch, file, on_step, on_step)
        except ViolationError as fault:
            words = f"the book and the replay do not agree: {fault}"
            return None, words, (words,)
    return proof, "", ()


MIRRORED_MAX = 20_000


def _shut_gates(headline: "Headline") -> list[str]:
    """Name the gates that money went through in the run and that the ledger compiled shut."""
    from ringfence.replay.log import Row

    run = headline.runs["segregated"]
    rules, log = run.ground.rules, run.world.log[: int(run.world.logged[0])]
    used = {run.ground.feeds[int(row[4])].gate for row in log if row[0] == Row.FEED}
    return sorted(
        f"{name} ({', '.join(rules.gates[name].unenforced)})" for name in used if rules.gates[name].unenforced
    )


def _show(
    study: "Study", headline: "Headline", proof: "BookProof | None", unproved: str, took: Timing, out: Path
) -> None:
    show_opening(study)
    show_client(study, headline, proof)
    show_layouts(study, proof, unproved)
    console.print(
        f"\nPage: [bold]{out}[/]   set-up {took.set_up_s:.1f} s, run {took.run_s:.1f} s", highlight=False
    )


def _end(faults: tuple[str, ...]) -> None:
    for fault in faults:
        errors.print(f"[bold red]violated:[/] {fault}", highlight=False, soft_wrap=True)
    if faults:
        raise typer.Exit(1)


def _command(policy: str, data: Path | None, window: str | None, clients: int, seed: int) -> str:
    parts = ["ringfence demo", f"--policy {policy}"]
    parts += [f"--data {data}"] if data else []
    parts += [f"--window {window}"] if window else []
    return " ".join([*parts, f"--clients {clients}", f"--seed {seed}"])


@contextmanager
def _counted(words: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar over all runs of a study."""
    from ringfence.replay.study import RUNS

    with progress(words, total=RUNS) as step:
        yield lambda *_: step(1)


@contextmanager
def _stepped(words: str) -> Iterator[Callable[..., None]]:
    with progress(words) as step:
        yield lambda *_: step(1)
