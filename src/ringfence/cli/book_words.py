"""What a book was asked and what it answered, as plain data for `--json` and as sentences for people."""

from typing import Any

import msgspec
from rich.markup import escape

from ringfence.cli.output import console
from ringfence.kernel.decision import REASONS
from ringfence.kernel.ids import show_id
from ringfence.kernel.instant import Instant, show_instant
from ringfence.kernel.money import PRICE_DIGITS, show_decimal
from ringfence.planes.ledger.book import Outcome
from ringfence.planes.ledger.explain import Explanation
from ringfence.planes.ledger.journal import Answered, Head, answered
from ringfence.planes.ledger.operations import (
    AdoptPolicy,
    Announce,
    Approve,
    Cancel,
    CancelAdoption,
    CarryOut,
    CloseMember,
    CloseSession,
    CompleteAdoption,
    EndMandate,
    Fill,
    Freeze,
    Fund,
    Link,
    Mandate,
    Move,
    Opening,
    OpenMember,
    OpenSession,
    Operation,
    PinAddress,
    Post,
    PriceFact,
    Receipt,
    RegisterKey,
    Remark,
    Request,
    Resume,
    RevokeKey,
    RotateKey,
    Settle,
    Statement,
    Void,
)
from ringfence.planes.ledger.pending import Pending
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.tables import Hold
from ringfence.services.history import Dated

Plain = dict[str, Any]
"""What `--json` prints."""


def show_head(head: Head) -> str:
    """Write a head as `verify --head` reads it."""
    return f"{head.sequence}:{head.hash.hex()}"


def show_units(rules: Rules | None, asset: str, units: int) -> str:
    """Write units as a decimal; contracts have no digits after the point. Without rules they stay units."""
    if rules is None:
        return f"{units} units of"
    rule = rules.assets.get(asset)
    return show_decimal(units, rule.decimals if rule else 0)


def plain_balance(rules: Rules, compartment: str, asset: str, units: int, held: int) -> Plain:
    """Write one balance as plain data; held: units of it that are kept for what may still happen, if any."""
    amount = show_units(rules, asset, units)
    balance: Plain = {"compartment": compartment, "asset": asset, "units": units, "amount": amount}
    return balance | ({"held": show_units(rules, asset, held)} if held else {})


def plain_hold(rules: Rules, identifier: int, hold: Hold) -> Plain:
    """Write a hold as plain data."""
    held = [
        {"compartment": path, "asset": asset, "units": units, "amount": show_units(rules, asset, units)}
        for path, asset, units in hold.reserved
    ]
    moves = [_asked_link(rules, move) for move in hold.moves]
    until = show_instant(Instant(hold.until))
    return {"id": show_id(identifier), "until": until, "moves": moves, "held": held}


def plain_answer(rules: Rules | None, line: Answered) -> Plain:
    """Write an operation and its answer as plain data."""
    answer: Plain = {"asked": asked(rules, line.operation), "accepted": line.refused is None}
    if isinstance(line.operation, Request | Announce):
        one = line.operation.request if isinstance(line.operation, Announce) else line.operation
        answer["id"] = show_id(one.id)
        if len(one.links) > 1:
            answer["links"] = [_asked_link(rules, link) for link in one.links]
    if line.repeated:
        answer["repeated"] = True
    if line.pending:
        answer["pending"] = True
    if line.refused is not None:
        refused = line.refused
        reason = REASONS[refused.reason].name
        answer |= {"reason": reason, "words": refused.words, "rule": refused.rule, "leg": refused.leg}
    answer["entries"] = [
        {
            "debit": entry.debit,
            "credit": entry.credit,
            "asset": entry.asset,
            "units": entry.units,
            "amount": show_units(rules, entry.asset, entry.units),
        }
        for entry in line.entries
    ]
    if _is_about_another(line.operation):
        answer["moved"] = [
            f"{one['amount']} {one['asset']} from {one['debit']} to {one['credit']}"
            for one in answer["entries"]
        ]
    return answer


def _is_about_another(operation: Operation) -> bool:
    """Say whether an operation names what was asked before, so that it does not tell itself what moved."""
    if isinstance(operation, Request):
        return any(isinstance(link, Post) for link in operation.links)
    return isinstance(operation, CarryOut)


def plain_pending(rules: Rules, pending: Pending, lacks: str, now: Instant) -> Plain:
    """Write a pending request as plain data; lacks: the need that is not met; now: to see what has passed."""
    due = pending.due
    if pending.is_expired(now):
        state, waits = "expired", "its time has passed"
    elif lacks or due is None:
        state, waits = "unsigned", f"waits for a signature: {lacks}"
    elif now < due:
        state, waits = "delayed", f"may be carried out from {show_instant(due)} on"
    else:
        state, waits = "due", "may be carried out"
    return {
        "id": show_id(pending.request.id),
        "asked": asked(rules, pending.request),
        "state": state,
        "waits": waits,
        "due": show_instant(due) if due is not None and not lacks else None,
        "expires": show_instant(Instant(pending.request.expires)),
    }


def dated_answer(rules: Rules, dated: Dated) -> Plain:
    """Write an operation and its answer as plain data, with where and when it was journalled."""
    place = {"record": dated.sequence, "place": dated.place, "at": show_instant(dated.at)}
    return place | plain_answer(rules, dated.line)


def plain_record(dated: Dated) -> Plain:
    """Write an operation in full, signatures too (base64), with its answer."""
    line: Plain = msgspec.to_builtins(dated.line)
    return {"record": dated.sequence, "place": dated.place, "at": show_instant(dated.at), **line}


def plain_rehearsal(
    rules: Rules, request: Request, outcome: Outcome, explanation: Explanation | None
) -> Plain:
    """Write what the answer would be, and what is permitted instead, as plain data."""
    found = plain_answer(rules, answered(request, outcome.decision, outcome.entries))
    if explanation is not None:
        found |= {"advice": explanation.advice, "path": [str(step) for step in explanation.path]}
    return found


def print_rehearsal(found: Plain) -> None:
    """Say for people what the answer would be, and what is permitted instead."""
    print_answer({**found, "id": ""})  # nothing was asked, so no id counts
    if not found["accepted"]:
        console.print(f"         {escape(found['advice'])}", highlight=False, soft_wrap=True)
        for step in found["path"]:
            console.print(f"         [dim]{escape(step)}[/]", highlight=False, soft_wrap=True)


def print_answer(answer: Plain) -> None:
    """Say for people what was asked, answered and booked; each link of a chain on a line of its own."""
    links = [escape(link) for link in answer.get("links", ())]
    asked_words = f"{len(links)} links, all or none" if links else escape(answer["asked"])
    verb = "pending" if answer.get("pending") else "accepted"
    verb = "repeated" if answer.get("repeated") else verb
    shown = f"[green]{verb}[/]" if answer["accepted"] else "[red]refused[/] "
    _say(f"{shown} {asked_words}")
    for link in (*links, *map(escape, answer.get("moved", ()))):
        _say(f"         {link}")
    if not answer["accepted"]:
        rule = f"  [dim]{escape(answer['rule'])}[/]" if answer["rule"] else ""
        which = f"link {answer['leg'] + 1}: " if links else ""
        _say(f"         {which}{answer['reason']}: {escape(answer['words'])}{rule}")
    elif answer.get("id"):
        _say(f"         its id is {answer['id']}")


def _say(words: str) -> None:
    console.print(words, highlight=False, soft_wrap=True)


def asked(rules: Rules | None, operation: Operation) -> str:
    """Say in a few words what an operation asks for."""
    match operation:
        case Request():
            verb = "hold " if operation.hold_until else ""
            return verb + "; ".join(_asked_link(rules, link) for link in operation.links) or "nothing"
        case Announce():
            return asked(rules, operation.request)
        case Approve():
            names = ", ".join(one.key for one in operation.signatures)
            return f"approve {show_id(operation.request)} as {names or 'nobody'}"
        case Cancel():
            return f"cancel {show_id(operation.request)}: {operation.reason}"
        case CarryOut():
            return f"carry out {show_id(operation.request)}"
        case PriceFact():
            quotes = (
                f"{quote.source}={show_decimal(quote.price_e10, PRICE_DIGITS)}" for quote in operation.quotes
            )
            return f"price {operation.name}: {' '.join(quotes)}"
        case OpenMember():
            return f"open {operation.party} {operation.member}"
        case RegisterKey():
            return f"register key {operation.key}"
        case RotateKey():
            until = show_instant(Instant(operation.old_until))
            return f"rotate key {operation.key}, the old one until {until}"
        case Mandate():
            amount = show_units(rules, operation.asset, operation.units)
            ends = f"from {operation.source} to {operation.target} through {operation.gate}"
            return f"mandate for {amount} {operation.asset} {ends}"
        case EndMandate():
            return f"end mandate {show_id(operation.mandate)}: {operation.reason}"
        case OpenSession():
            return f"session of {operation.key} at {operation.holder} for {', '.join(operation.buckets)}"
        case CloseSession():
            return f"close session {show_id(operation.session)}: {operation.reason}"
        case PinAddress():
            return f"address of {operation.compartment}: {operation.address}"
        case Statement():
            holds = "" if operation.holds else "not "
            when = show_instant(Instant(operation.as_of))
            return f"{holds}{operation.word} as of {when}: {operation.reference}"
        case RevokeKey():
            return f"revoke key {operation.key}: {operation.reason}"
        case Receipt():
            amount = show_units(rules, operation.asset, operation.units)
            return f"receipt {operation.reference}: {amount} {operation.asset} for {operation.target}"
        case CloseMember():
            return f"close {operation.party} {operation.member}: {operation.reason}"
        case Freeze():
            return f"{_halt(operation.kind)} {operation.scope}: {operation.reason}"
        case Resume():
            kind = "" if operation.kind == "freeze" else f" from {operation.kind}"
            return f"resume {operation.scope}{kind}: {operation.reason}"
        case AdoptPolicy():
            return f"adopt another policy in the place of {operation.replaces.hex()[:16]}"
        case CompleteAdoption():
            return f"complete adoption {show_id(operation.adoption)}"
        case CancelAdoption():
            return f"cancel adoption {show_id(operation.adoption)}: {operation.reason}"
        case Opening():
            lines = f"{len(operation.balances)} balances and {len(operation.positions)} positions"
            return f"take over {lines} from {operation.source}"
        case Remark():
            return f"remark {operation.kind} on {operation.subject}: {operation.words}"


def _halt(kind: str) -> str:
    return kind if kind in ("freeze", "stop") else f"halt ({kind})"


def _asked_link(rules: Rules | None, link: Link) -> str:
    match link:
        case Move():
            amount = show_units(rules, link.asset, link.units)
            gate = link.gate or "any gate"
            return f"{amount} {link.asset} from {link.source} to {link.target} through {gate}"
        case Fill():
            traded = f"{link.contracts} {link.instrument} at {show_decimal(link.price_e10, PRICE_DIGITS)}"
            return f"{traded}: {link.buy.bucket} buys from {link.sell.bucket}"
        case Settle():
            return f"settle {link.instrument} at {show_decimal(link.price_e10, PRICE_DIGITS)}"
        case Fund():
            return f"funding of {link.instrument}, {show_decimal(link.rate_e10, PRICE_DIGITS)} of notional"
        case Post():
            part = ", in part" if link.units else ""
            return f"post hold {show_id(link.hold)}{part}"
        case Void():
            return f"void hold {show_id(link.hold)}"
