"""Text to policy: every finding at once, or one policy that means what it says.

`parse` never raises on any text. Syntax comes first (`source`), then what is short is written out (`expand`),
then every word is read (`language`), then defaults are filled in, then the meaning is checked (`check`). An
entry with a finding is left out and the rest is still checked, so that one mistake does not hide the others.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ringfence.policy.check import check, check_parts
from ringfence.policy.expand import Include, expand, name_tiers
from ringfence.policy.families import match, variables_of
from ringfence.policy.grammar import Path, Reader
from ringfence.policy.language import POLICY
from ringfence.policy.model import Asset, Finding, Policy, PriceAuthority
from ringfence.policy.source import Scalar, Table, read_source

_Judges = tuple[
    Callable[[Policy], tuple[Finding, ...]],
    Callable[[Policy, frozenset[Path]], tuple[Finding, ...]],
]


WORDS_MAX = 240
"""Characters of each half of a finding."""


class Parsed(NamedTuple):
    """What was read: the policy, None where there is an error, and all findings in the order of the text."""

    policy: Policy | None
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Return the findings that are no mere notes."""
        return tuple(finding for finding in self.findings if finding.level == "error")


def parse(text: str, file: str, include: Include | None = None) -> Parsed:
    """Read a policy from `text` and judge what it means.

    file: names the text in findings; include: gives the text of included files, None where there are none.
    """
    return _parsed(text, file, include, (check, check_parts))


def read(text: str, file: str, include: Include | None = None) -> Parsed:
    """Read a policy from `text` as `parse` does, without judging what it means."""
    return _parsed(text, file, include, None)


def _parsed(text: str, file: str, include: Include | None, judges: _Judges | None) -> Parsed:
    source = read_source(text, file)
    if source.root is None:
        return Parsed(None, tuple(map(_brief, source.findings)))
    reader = Reader()
    reader.findings.extend(source.findings)
    root = expand(reader, source.root, file, include)
    reader.decimals.update(_declared_decimals(root))
    root = name_tiers(reader, root, _sound_tables(reader, root))
    fields = POLICY.read_words(reader, root, ())
    fields.pop("tiers", None)
    is_whole = not any(finding.rule in ("yaml-syntax", "too-deep") for finding in reader.findings)
    if is_whole:
        POLICY.refuse_missing(reader, root, ())
        _fill_in(reader, root, fields)
        _judge(reader, fields, judges)
    distinct = dict.fromkeys(map(_brief, reader.findings))
    findings = tuple(sorted(distinct, key=lambda finding: _place(finding, file)))
    if any(finding.level == "error" for finding in findings):
        return Parsed(None, findings)
    return Parsed(Policy(**fields).located(reader.lines), findings)


def _judge(reader: Reader, fields: dict[str, Any], judges: _Judges | None) -> None:
    if judges is None:
        return
    judge_whole, judge_parts = judges
    if not reader.findings:
        reader.findings.extend(judge_whole(Policy(**fields).located(reader.lines)))
        return
    blanks: dict[str, Any] = {
        "ringfence": 1,
        "name": "unnamed",
        "numeraire": "",
        "assets": {},
        "compartments": {},
    }
    partial = Policy(**{**blanks, **fields}).located(reader.lines)
    reader.findings.extend(judge_parts(partial, frozenset(reader.broken)))


def _brief(finding: Finding) -> Finding:
    """Cut what is quoted at length: a finding is one sentence, whatever stood in the text."""
    found, right = (
        words if len(words) <= WORDS_MAX else f"{words[:WORDS_MAX]}…"
        for words in (" ".join(finding.found.split()), " ".join(finding.right.split()))
    )
    return finding.model_copy(update={"found": found, "right": right})


def _place(finding: Finding, file: str) -> tuple[bool, str, int]:
    name, _, line = finding.where.rpartition(":")
    return (name != file, name, int(line) if line.isdigit() else 0)


# --- what must be known before reading ---------------------------------------------------------


def _declared_decimals(root: Table) -> dict[str, int]:
    """Find the decimals of every asset; contracts of an instrument have none. Wrong ones are found later."""
    decimals: dict[str, int] = {}
    instruments, assets = root.get("instruments"), root.get("assets")
    for key, node in assets.entries if isinstance(assets, Table) else ():
        digits = node.get("decimals") if isinstance(node, Table) else None
        text = digits.text if isinstance(digits, Scalar) else ""
        decimals[key.text] = int(text) if re.fullmatch("[0-9]{1,2}", text) else 0
    if isinstance(instruments, Table):
        decimals.update({key.text: 0 for key, _ in instruments.entries if key.text not in decimals})
    return decimals


def _sound_tables(reader: Reader, root: Table) -> set[str]:
    """Read the tables of brackets once, so that a mistake in one is found once."""
    tables = root.get("tiers")
    if tables is None:
        return set()
    return set(POLICY.by_name["tiers"].form.read(reader, tables, ("tiers",)) or ())


# --- defaults ----------------------------------------------------------------------------------


def _fill_in(reader: Reader, root: Table, fields: dict[str, Any]) -> None:
    """Write out what is meant where nothing is said: prices of families, prices of coins, the numeraire."""
    prices: dict[str, PriceAuthority] = fields.get("prices", {})
    assets: dict[str, Asset] = fields.get("assets", {})
    if "prices" in fields:
        wanted = [one.index for one in fields.get("instruments", {}).values()]
        wanted += [one.price for one in assets.values() if one.price is not None]
        fields["prices"] = prices = _prices_of_families(reader.lines, prices, wanted)
    if assets and "numeraire" not in fields and root.get("numeraire") is None:
        _default_numeraire(reader, root, fields, prices)
    numeraire = fields.get("numeraire")
    for name, asset in assets.items():
        is_coin = asset.debt_in is None and asset.mirrors is None and name != numeraire
        if is_coin and asset.price is None and f"index/{name}" in prices:
            assets[name] = asset.model_copy(update={"price": f"index/{name}"})


def _prices_of_families(
    lines: dict[Path, Any], prices: Mapping[str, PriceAuthority], wanted: list[str]
) -> dict[str, PriceAuthority]:
    families = [name for name in prices if variables_of(name)]
    filled = {name: price for name, price in prices.items() if name not in families}
    for name in wanted:
        family = next((one for one in families if match(one, name) is not None), None)
        if name not in filled and family is not None:
            filled[name] = prices[family]
            lines["prices", name] = lines["prices", family]
    return filled


def _default_numeraire(
    reader: Reader, root: Table, fields: dict[str, Any], prices: Mapping[str, Any]
) -> None:
    candidates = [
        name
        for name, asset in fields["assets"].items()
        if asset.debt_in is None
        and asset.mirrors is None
        and asset.price is None
        and f"index/{name}" not in prices
    ]
    if len(candidates) == 1:
        fields["numeraire"] = candidates[0]
    elif not reader.broken:
        found = f"{', '.join(candidates) or 'no coin'} could be what everything is valued in"
        right = "write `numeraire: …`, or give every other coin a price"
        reader.fail("numeraire", reader.lines.get(("assets",), root.where), found, right)
