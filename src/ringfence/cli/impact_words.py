"""What another policy would cost the people in a book, as plain data and as tables."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from ringfence.cli.book_words import show_units
from ringfence.cli.output import console
from ringfence.margin.impact import BucketImpact, Impact, LimitUse, Standing
from ringfence.planes.ledger.rules import Rules

Plain = dict[str, Any]


def plain_impact(old: Rules, new: Rules, found: Impact) -> Plain:
    """Write an impact as plain data; amounts are decimals of their asset."""
    buckets = [_plain_bucket(old, one) for one in found.buckets]
    return {
        "policy": new.digest.hex(),
        "numeraire": old.numeraire,
        "valued": found.valued,
        "calls": sum(one.is_called for one in found.buckets),
        "liquidations": sum(one.is_liquidated for one in found.buckets),
        "buckets": buckets,
        "frozen": [
            {
                "compartment": one.compartment,
                "asset": one.asset,
                "before": show_units(old, one.asset, one.before_units),
                "after": show_units(old, one.asset, one.after_units),
                "frozen": show_units(old, one.asset, one.units),
            }
            for one in found.frozen
        ],
        "limits": [
            {
                "gate": one.gate,
                "scope": one.scope,
                "members": list(one.members),
                "asset": one.asset,
                "used": show_units(old, one.asset, one.used_units),
                "before": None
                if one.before_cap is None
                else show_units(old, one.asset, one.before_cap.units),
                "after": _after(old, new, one),
                "left": None if one.left_units is None else show_units(old, one.asset, one.left_units),
            }
            for one in found.limits
        ],
    }


def _after(old: Rules, new: Rules, one: LimitUse) -> str:
    """Write the new limit, that there is none any more, or that the gate itself is gone."""
    if one.after_cap is not None:
        return show_units(old, one.asset, one.after_cap.units)
    return "no limit" if one.gate in new.gates or one.gate in new.exchanges else "shut"


def _plain_bucket(rules: Rules, one: BucketImpact) -> Plain:
    amount = show_units(rules, rules.numeraire, one.call_units)
    return {
        "bucket": one.bucket,
        "before": _plain_standing(rules, one.before),
        "after": _plain_standing(rules, one.after),
        "call": amount if one.is_called else None,
        "liquidated": one.is_liquidated,
        "closed": dict(one.closed),
        "closing_cost": show_units(rules, rules.numeraire, one.closing_units),
        "words": one.words,
    }


def _plain_standing(rules: Rules, standing: Standing | None) -> Plain | None:
    if standing is None:
        return None
    figures = {
        name: show_units(rules, rules.numeraire, getattr(standing, name))
        for name in ("equity", "maintenance", "initial")
    }
    return {"state": standing.state.name.lower(), **figures}


def print_impact(plain: Plain) -> None:
    """Say for people what would change for whom, at once and in the end, and whether it can be adopted."""
    if plain["at_once"] is not None:
        console.print("[bold]at once, while the rest waits[/]")
        _print_step(plain["at_once"])
        console.print("[bold]when all of it is in force[/]")
    _print_step(plain)
    for words in plain["refused"]:
        console.print(f"[red]would be refused:[/] {escape(words)}", highlight=False, soft_wrap=True)


def _print_step(plain: Plain) -> None:
    console.print(
        f"{plain['valued']} buckets valued: {plain['calls']} would be called, "
        f"{plain['liquidations']} would be liquidated",
        highlight=False,
    )
    if plain["buckets"]:
        console.print(_bucket_table(plain))
    for section, columns in (
        ("frozen", ("compartment", "asset", "before", "after", "frozen")),
        ("limits", ("gate", "scope", "members", "asset", "used", "before", "after", "left")),
    ):
        if plain[section]:
            table = Table(
                *columns, title="could not leave any more" if section == "frozen" else "limits in use"
            )
            for row in plain[section]:
                table.add_row(*(_cell(row[column]) for column in columns))
            console.print(table)
    if not (plain["buckets"] or plain["frozen"] or plain["limits"]):
        console.print("nobody would feel it now")


def _bucket_table(plain: Plain) -> Table:
    unit = plain["numeraire"]
    table = Table("bucket", "state", f"equity {unit}", "maintenance", "initial", "call", "closed")
    for row in plain["buckets"]:
        before, after = row["before"], row["after"]
        cells = [_step(before, after, name) for name in ("state", "equity", "maintenance", "initial")]
        closed = ", ".join(f"{count} {name}" for name, count in row["closed"].items())
        table.add_row(escape(row["bucket"]), *cells, row["call"] or "", escape(closed or row["words"]))
    return table


def _step(before: Plain | None, after: Plain | None, name: str) -> str:
    was, is_now = (None if one is None else one[name] for one in (before, after))
    return str(was or "?") if was == is_now else f"{was or '?'} → {is_now or '?'}"


def _cell(value: object) -> str:
    if isinstance(value, list):
        return escape("/".join(value) or "all")
    return "" if value is None else escape(str(value))
