"""Closing a member: only when nothing of its own is left anywhere in the book."""

from collections.abc import Iterator

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.ledger import Ledger
from ringfence.planes.ledger.operations import CloseMember
from ringfence.planes.ledger.stopping import members_of


def close_member(ledger: Ledger, closing: CloseMember, at: Instant) -> Refused | bool | None:
    """Close a member for ever; its name and its keys are not used again. True where it was closed before."""
    tables, key = ledger.tables, (closing.party, closing.member)
    if key in tables.closed:
        return True
    if key not in tables.members:
        words = f"{closing.party} {closing.member} was never opened in this book"
        return Refused(Reason.MEMBER_NOT_OPEN, words)
    left = ", ".join(_remains(ledger, closing.party, closing.member))
    if left:
        return Refused(Reason.MEMBER_NOT_EMPTY, f"{closing.party} {closing.member} still has {left}")
    tables.put(tables.closed, key, at)
    tables.drop(tables.members, key)
    for name, rule in sorted(ledger.rules.keys.items()):
        public = f"{name}/{closing.member}"
        if rule.per == closing.party and public in tables.keys:
            tables.put(tables.revoked, public, f"{closing.party} {closing.member} was closed")
    ledger.forget_places()
    return None


def _remains(ledger: Ledger, party: str, member: str) -> Iterator[str]:
    """Name whatever a member still has, in words; what lies outside the book is not its own any more."""
    tables = ledger.tables

    def is_own(path: str) -> bool:
        place = ledger.rules.place(path)
        return place is not None and not place.rule.two_sided and (party, member) in members_of(place)

    def show(asset: str, units: int) -> str:
        rule = ledger.rules.assets.get(asset)
        return rule.show(units) if rule is not None else f"{units} {asset}"

    for (path, asset), (debits, credits) in sorted(tables.balances.items()):
        if debits != credits and is_own(path):
            yield f"{show(asset, credits - debits)} in {path}"
    for instrument, sessions in sorted(tables.sessions.items()):
        for path, value in sorted(sessions.items()):
            if value and is_own(path):
                yield f"an unsettled session value of {value} in {instrument} in {path}"
    for (accrual, source, target, asset), units in sorted(tables.owed.items()):
        if is_own(source) or is_own(target):
            yield f"{show(asset, units)} owed by {source} to {target} ({accrual})"
    for identifier, hold in sorted(tables.holds.items()):
        if any(is_own(path) for path, _, _ in hold.reserved):
            yield f"a hold ({identifier:032x})"
