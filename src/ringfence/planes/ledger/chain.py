"""One request while it is carried out, link by link, before it is known whether it will stand."""

from collections.abc import Iterable

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.conditions import Conditions
from ringfence.planes.ledger.entitlements import Owed
from ringfence.planes.ledger.interest import accrue
from ringfence.planes.ledger.laws import Violation
from ringfence.planes.ledger.ledger import Ledger
from ringfence.planes.ledger.mirroring import uncovered
from ringfence.planes.ledger.operations import Entry, Request
from ringfence.planes.ledger.rules import Place
from ringfence.planes.ledger.shortfall import PAYABLE
from ringfence.planes.ledger.signing import Verifier, signers_of

_NOBODY: frozenset[str] = frozenset()


class Chain:
    """The request, what was booked of it so far, and what must be true at its end.

    entries: legs booked; netting: what must be zero in clearing at the end; due: what must be paid by then;
    owing: the buckets that owe clearing, by clearing and asset; released: units that left on margin's word;
    topped: units that came on margin's word; forced: contracts closed by force and the penalties of it, by
    bucket and instrument; unlocked: escrow that something left; broken: laws that it
    broke; signers: who signed, where that was found out before (None: to be found from the request).
    """

    def __init__(
        self,
        ledger: Ledger,
        request: Request,
        content: bytes,
        at: Instant,
        verify: Verifier,
        conditions: Conditions,
        signers: frozenset[str] | None = None,
    ) -> None:
        self.ledger = ledger
        self.request = request
        self.content = content
        self.at = at
        self.verify = verify
        self.conditions = conditions
        self.entries: list[Entry] = []
        self.netting: set[tuple[str, str]] = set()
        self.due: set[Owed] = set()
        self.owing: dict[tuple[str, str], dict[str, Place]] = {}
        self.released: dict[tuple[str, str], int] = {}
        self.broken: tuple[Violation, ...] = ()
        self.topped: dict[tuple[str, str], int] = {}
        self.unlocked: dict[str, Place] = {}
        self.forced: dict[tuple[str, str], tuple[int, int]] = {}
        self._signers: frozenset[str] | Refused | None = signers

    @property
    def signers(self) -> frozenset[str]:
        """The keys whose signatures of the request count; none where one does not."""
        found = self._signers if self._signers is not None else self._verified()
        return _NOBODY if isinstance(found, Refused) else found

    @property
    def signing(self) -> Refused | None:
        """Why the signatures do not count; None where they do."""
        found = self._signers if self._signers is not None else self._verified()
        return found if isinstance(found, Refused) else None

    def _verified(self) -> frozenset[str] | Refused:
        known = self.ledger.known_keys(self.at)
        self._signers = signers_of(self.request.signatures, self.content, known, self.verify)
        return self._signers

    def book(self, source: Place, target: Place, asset: str, units: int) -> None:
        """Book one leg; what bears interest at either end is brought up to now first."""
        if self.ledger.rules.assets[asset].interest_ppm if asset in self.ledger.rules.assets else 0:
            accrue(self.ledger, source, asset, self.at)
            accrue(self.ledger, target, asset, self.at)
        self.ledger.tables.move(source.path, target.path, asset, units)
        self.entries.append(Entry(source.path, target.path, asset, units))
        for end in (source, target):
            if end.rule.nets_to_zero:
                self.netting.add((end.path, asset))

    def make_due(self, accrual: str, source: Place, target: Place, asset: str, units: int) -> None:
        """Owe `units` that must be paid before the request ends, net of what is owed the other way."""
        tables = self.ledger.tables
        for word in PAYABLE:
            back = (word, target.path, source.path, asset)
            part = min(units, tables.owed.get(back, 0))
            if part:
                tables.owe(back, -part)
                units -= part
        if units:
            key = (accrual, source.path, target.path, asset)
            tables.owe(key, units)
            self.due.add(key)
            if target.rule.nets_to_zero:
                self.owing.setdefault((target.path, asset), {})[source.path] = source

    def owing_to(self, clearing: str, asset: str) -> Iterable[Place]:
        """List the buckets that owed clearing something in this request, by name."""
        owing = self.owing.get((clearing, asset), {})
        return [owing[path] for path in sorted(owing)]

    def fault_at_end(self) -> Refused | None:
        """Say what is not as it must be when every link is done."""
        tables = self.ledger.tables
        for path, asset in sorted(self.netting):
            left = tables.balance(path, asset)
            if left:
                words = f"{path} would keep {left} units of {asset}; it must net to zero"
                return Refused(Reason.CLEARING_NOT_ZERO, words)
        for key in sorted(self.due):
            left = tables.owed.get(key, 0)
            if left:
                accrual, source, target, asset = key
                words = f"{source} would still owe {target} {left} units of {asset} ({accrual})"
                return Refused(Reason.OWED_NOT_PAID, words)
        for _, escrow in sorted(self.unlocked.items()):
            words = uncovered(self.ledger, escrow)
            if words:
                return Refused(Reason.OWED_NOT_PAID, words, escrow.rule.line)
        return None
