"""Verdicts in the forms a team reads: plain data, Markdown for a pull request, SARIF for code scanning."""

from collections.abc import Iterable, Mapping, Sequence

from ringfence.kernel.money import show_decimal
from ringfence.policy.model import Asset, Finding, Policy
from ringfence.proof.claims import Decided, Verdict

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

_LEVELS = {"proved": "none", "proved assuming": "none", "open": "warning", "unknown": "warning"}


def show_units(assets: Mapping[str, Asset], name: str, units: int | None) -> str:
    """Write an amount, a number of thefts, or that nothing limits it."""
    if name == "thefts":
        return "no number of thefts" if units is None else f"{units} theft{'' if units == 1 else 's'}"
    if units is None:
        return f"{name} without limit"
    return f"{show_decimal(units, assets[name].decimals)} {name}"


def show_bound(policy: Policy, decided: Decided) -> str:
    """Write the tight bound of an answer in one line; "" where it has none."""
    return ", ".join(show_units(policy.assets, name, units) for name, units in decided.answer.bound.items())


# --- plain data --------------------------------------------------------------------------------


def show_plain(policy: Policy, verdicts: Iterable[Verdict]) -> list[dict[str, object]]:
    """Write verdicts as plain data."""
    return [
        {
            "claim": verdict.claim,
            "status": verdict.status,
            "sentence": verdict.sentence,
            "where": verdict.where,
            "words": verdict.words,
            "planes": [_plain_decided(policy, one) for one in verdict.decided],
            "assumptions": list(verdict.assumptions),
            "trusted": list(verdict.trusted),
        }
        for verdict in verdicts
    ]


def _plain_decided(policy: Policy, decided: Decided) -> dict[str, object]:
    story = decided.story
    plain: dict[str, object] = {
        "plane": decided.plane,
        "status": decided.status,
        "words": decided.answer.words,
        "bound_units": dict(decided.answer.bound),
        "bound": show_bound(policy, decided),
        "remarks": list(decided.answer.remarks),
    }
    if story is not None:
        plain["story"] = {
            "steps": list(story.steps),
            "assumed": list(story.assumed),
            "replayed": story.holds,
            "stop": story.stop,
        }
    return plain


# --- Markdown ----------------------------------------------------------------------------------


def show_markdown(policy: Policy, verdicts: Sequence[Verdict]) -> str:
    """Write verdicts as Markdown: a table, then the story of everything that does not hold."""
    failing = [verdict for verdict in verdicts if not verdict.holds]
    head = f"### Claims of `{policy.name}`: {len(verdicts) - len(failing)} of {len(verdicts)} hold"
    lines = [head, "", "| claim | verdict | tight bound |", "|---|---|---|"]
    for verdict in verdicts:
        bounds = dict.fromkeys(filter(None, (show_bound(policy, one) for one in verdict.decided)))
        lines.append(f"| `{verdict.claim}` | {verdict.status} | {_cell('; '.join(bounds))} |")
    for verdict in failing:
        lines += ["", *_markdown_story(verdict)]
    return "\n".join([*lines, ""])


def _markdown_story(verdict: Verdict) -> list[str]:
    lines = [f"#### `{verdict.claim}` is {verdict.status}", "", f"{verdict.where}: {verdict.sentence}.", ""]
    lines += [f"{_capital(verdict.words)}."]
    for decided in verdict.decided:
        if decided.story is not None and decided.story.steps:
            title = f"On the plane `{decided.plane}`:" if decided.plane else "So:"
            steps = [f"{number}. {step}" for number, step in enumerate(decided.story.steps, 1)]
            lines += ["", title, "", *steps]
            lines += [f"   - assuming that {words}" for words in decided.story.assumed]
            break
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# --- SARIF -------------------------------------------------------------------------------------


def show_sarif(
    version: str, verdicts: Iterable[Verdict], findings: Iterable[Finding] = ()
) -> dict[str, object]:
    """Write what does not hold, and findings, as SARIF 2.1.0. version: of ringfence."""
    kept = list(verdicts)
    notes = list(findings)
    rules = {verdict.claim: verdict.sentence for verdict in kept}
    rules.update({finding.rule: finding.rule.replace("-", " ") for finding in notes})
    results = [_sarif_verdict(verdict) for verdict in kept if not verdict.holds]
    results += [_sarif_result(one.rule, "note", f"{one.found}; {one.right}", one.where) for one in notes]
    driver = {
        "name": "ringfence",
        "version": version,
        "rules": [{"id": name, "shortDescription": {"text": words}} for name, words in rules.items()],
    }
    return {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }


def _sarif_verdict(verdict: Verdict) -> dict[str, object]:
    steps = next((one.story.steps for one in verdict.decided if one.story is not None), ())
    words = " ".join([f"{verdict.claim} is {verdict.status}: {verdict.words}.", *steps])
    return _sarif_result(verdict.claim, _LEVELS.get(verdict.status, "error"), words, verdict.where)


def _sarif_result(rule: str, level: str, words: str, where: str) -> dict[str, object]:
    file, _, line = where.rpartition(":")
    result: dict[str, object] = {"ruleId": rule, "level": level, "message": {"text": words}}
    if file and line.isdigit():
        place = {"artifactLocation": {"uri": file}, "region": {"startLine": int(line)}}
        result["locations"] = [{"physicalLocation": place}]
    return result
