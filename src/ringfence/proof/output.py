"""Verdicts in the forms a team reads: plain data, Markdown for a pull request, SARIF for code scanning."""

from collections.abc import Iterable, Mapping, Sequence

from ringfence.kernel.digest import tagged_digest
from ringfence.kernel.money import show_decimal
from ringfence.policy.model import Asset, Finding, Policy
from ringfence.proof.answers import Answer
from ringfence.proof.claims import Decided, Verdict
from ringfence.proof.evidence import Route

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
    """Write what does not hold, and findings, as SARIF 2.1.0. version: of ringfence.

    A result keeps its fingerprint while its claim keeps its name, so that a review tool knows it again.
    """
    kept, notes = list(verdicts), list(findings)
    rules = {verdict.claim: verdict.sentence for verdict in kept}
    rules.update({finding.rule: finding.rule.replace("-", " ") for finding in notes})
    places = {name: number for number, name in enumerate(rules)}
    failing = [verdict for verdict in kept if not verdict.holds]
    results = [_sarif_verdict(verdict, places[verdict.claim]) for verdict in failing]
    results += [_sarif_finding(finding, places[finding.rule]) for finding in notes]
    driver = {
        "name": "ringfence",
        "version": version,
        "rules": [{"id": name, "shortDescription": {"text": words}} for name, words in rules.items()],
    }
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _sarif_verdict(verdict: Verdict, rule: int) -> dict[str, object]:
    told = next((one for one in verdict.decided if one.story is not None and one.story.steps), None)
    steps = told.story.steps if told is not None and told.story is not None else ()
    words = " ".join([f"{verdict.claim} is {verdict.status}: {verdict.words}.", *steps])
    level = _LEVELS.get(verdict.status, "error")
    result = _sarif_result(verdict.claim, rule, level, words, verdict.where)
    found = told.answer.evidence if told is not None else None
    if isinstance(found, Route) and told is not None:
        result["relatedLocations"] = _sarif_route(told.answer, found)
    return result


def _sarif_route(found: Answer, route: Route) -> list[dict[str, object]]:
    """Write the gates that a story goes through, each with its own line."""
    lines = {rule.name: rule.line for rule in found.asked.index.world.rules}
    related = []
    for hop in route.hops:
        place = _sarif_place(lines[hop.rule])
        if place is not None:
            words = f"{hop.rule} moves {hop.asset} from {hop.source} to {hop.target}"
            related.append({"message": {"text": words}, **place})
    return related


def _sarif_finding(finding: Finding, rule: int) -> dict[str, object]:
    words = f"{finding.found}; {finding.right}"
    return _sarif_result(finding.rule, rule, finding.level, words, finding.where, known_by=words)


def _sarif_result(
    name: str, rule: int, level: str, words: str, where: str, known_by: str = ""
) -> dict[str, object]:
    """Write one result; known_by: what tells it from others of its rule, the next time it is found."""
    place = _sarif_place(where)
    fingerprint = tagged_digest("ringfence result", f"{name} {known_by}".encode()).hex()
    result: dict[str, object] = {
        "ruleId": name,
        "ruleIndex": rule,
        "level": level,
        "message": {"text": words},
    }
    result["partialFingerprints"] = {"claim/v1": fingerprint}
    if place is not None:
        result["locations"] = [place]
    return result


def _sarif_place(where: str) -> dict[str, object] | None:
    """Write `file:line` as a place; a file outside the folder of the run needs a whole address."""
    file, _, line = where.rpartition(":")
    if not (file and line.isdigit()):
        return None
    path = "".join(_escaped(letter) for letter in file.replace("\\", "/"))
    uri = f"file://{path}" if path.startswith("/") else path
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": int(line)}}}


def _escaped(letter: str) -> str:
    """Write a letter of a path as it may stand in a URI (RFC 3986, 2.3)."""
    if letter == "/" or (letter.isascii() and (letter.isalnum() or letter in "-._~")):
        return letter
    return "".join(f"%{byte:02X}" for byte in letter.encode())
