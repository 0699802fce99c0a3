"""Settlements and funding: re-basing positions, and making payable what they owe."""

from collections.abc import Iterator, Sequence

from ringfence.kernel.calendar import window_index
from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.instant import Instant
from ringfence.kernel.money import PPM, PRICE_SCALE
from ringfence.planes.ledger.chain import Chain
from ringfence.planes.ledger.conditions import NO_CONDITIONS
from ringfence.planes.ledger.ledger import Ledger
from ringfence.planes.ledger.needs import names_for, unmet
from ringfence.planes.ledger.operations import Fund, Request, Settle
from ringfence.planes.ledger.options import judge_expiry
from ringfence.planes.ledger.rules import EVIDENCE_NEEDS, Place
from ringfence.planes.ledger.settlement import funding_payments, rebased_values
from ringfence.planes.ledger.trade import judge_index, judge_tick
from ringfence.planes.ledger.transfer import is_frozen
from ringfence.policy.model import Instrument

VARIATION, FUNDING, RESIDUE = "variation", "funding", "residue"


def carry_out_settle(chain: Chain, settle: Settle) -> Refused | None:
    """Decide a settlement and re-base every position; return why not, where it is refused."""
    refusals = [*_judge(chain, settle), *_judge_settle(chain, settle)]
    if refusals:
        return min(refusals, key=lambda refused: refused.reason)
    instrument = chain.ledger.rules.instruments[settle.instrument]
    _rebase(chain, settle, instrument)
    return None


def carry_out_fund(chain: Chain, fund: Fund) -> Refused | None:
    """Decide a funding and make it payable; return why not, where it is refused."""
    refusals = [*_judge(chain, fund), *_judge_fund(chain, fund)]
    if refusals:
        return min(refusals, key=lambda refused: refused.reason)
    instrument = chain.ledger.rules.instruments[fund.instrument]
    _fund(chain, fund, instrument)
    return None


def rehearse(ledger: Ledger, links: Sequence[Settle | Fund], at: Instant) -> Chain:
    """Make due what the links would, on a chain that is judged by nobody; the caller takes it back.

    KeyError where the policy declares no such instrument.
    """
    request = Request(id=0, links=tuple(links), policy=b"", expires=at)
    chain = Chain(ledger, request, b"", at, _verify_nothing, NO_CONDITIONS)
    for link in links:
        instrument = ledger.rules.instruments[link.instrument]
        if isinstance(link, Settle):
            _rebase(chain, link, instrument)
        else:
            _fund(chain, link, instrument)
    return chain


def _verify_nothing(public: bytes, message: bytes, signature: bytes) -> bool:
    del public, message, signature
    return False


# --- deciding ----------------------------------------------------------------------------------


def _judge(chain: Chain, link: Settle | Fund) -> Iterator[Refused]:
    """Judge what settlements and funding have in common."""
    ledger, rules = chain.ledger, chain.ledger.rules
    instrument = rules.instruments.get(link.instrument)
    if instrument is None:
        yield Refused(Reason.INSTRUMENT_UNKNOWN, f"the policy declares no instrument {link.instrument}")
        return
    clearing = ledger.place(rules.clearing) if rules.clearing is not None else None
    if clearing is None:
        words = "the policy declares no clearing to settle through"
        yield Refused(Reason.NO_GATE_BETWEEN_COMPARTMENTS, words)
        return
    if chain.signing is not None:
        yield chain.signing
    elif missing := unmet(EVIDENCE_NEEDS, chain.signers, names_for(rules.keys, None, None)):
        words = f"settling {link.instrument} needs {missing}, which did not sign"
        yield Refused(Reason.NEEDS_NOT_MET, words)
    if scope := ledger.frozen("", clearing.path, "", link.instrument):
        yield is_frozen(scope, clearing.rule.line)
    yield from _judge_ways(chain, link.instrument, instrument)
    index, is_stale = ledger.price(instrument.index, chain.at)
    if instrument.kind == "option" and isinstance(link, Settle):
        yield from judge_expiry(link, instrument, index, is_stale, chain.at)
    else:
        yield from judge_index(index, is_stale, instrument, link.price_e10)


def _judge_ways(chain: Chain, name: str, instrument: Instrument) -> Iterator[Refused]:
    """Refuse where a position could not pay or be paid: its instrument would never settle."""
    rules = chain.ledger.rules
    for bucket in chain.ledger.tables.sessions.of(name):
        place = chain.ledger.place(bucket)
        key = (VARIATION, place.rule.index if place else -1, instrument.quote)
        if key not in rules.pays or key not in rules.is_paid:
            words = f"no gate moves {instrument.quote} as variation between {bucket} and clearing"
            yield Refused(Reason.NO_GATE_BETWEEN_COMPARTMENTS, words)
            return


def _judge_settle(chain: Chain, settle: Settle) -> Iterator[Refused]:
    instrument = chain.ledger.rules.instruments.get(settle.instrument)
    if instrument is not None and instrument.kind != "option":
        yield from judge_tick(instrument, settle.price_e10)


def _judge_fund(chain: Chain, fund: Fund) -> Iterator[Refused]:
    instrument = chain.ledger.rules.instruments.get(fund.instrument)
    if instrument is None:
        return
    terms = instrument.funding
    last = chain.ledger.tables.funded.get(fund.instrument)
    if terms is None:
        yield Refused(Reason.FUNDING_NOT_DUE, f"{fund.instrument} has no funding")
    elif last is not None and _window(last, terms.interval_ns) == _window(chain.at, terms.interval_ns):
        yield Refused(Reason.FUNDING_NOT_DUE, f"{fund.instrument} was funded in this interval already")
    elif abs(fund.rate_e10) * PPM > terms.cap_ppm * PRICE_SCALE:
        yield Refused(Reason.FUNDING_OVER_CAP, f"{fund.instrument} funds at most {terms.cap_ppm} ppm")


def _window(at: int, length_ns: int) -> int:
    return window_index(Instant(at), length_ns)


# --- booking -----------------------------------------------------------------------------------


def _rebase(chain: Chain, settle: Settle, instrument: Instrument) -> None:
    tables, name = chain.ledger.tables, settle.instrument
    decimals = chain.ledger.rules.assets[instrument.quote].decimals
    sessions = dict(tables.sessions.of(name).items())
    contracts = {bucket: tables.balance(bucket, name) for bucket in sorted(sessions)}
    values = rebased_values(instrument, contracts, settle.price_e10, decimals)
    is_final = instrument.expires is not None and chain.at >= instrument.expires
    for bucket, count in contracts.items():
        if is_final:
            _deliver(chain, name, bucket, count)
        tables.set_session(bucket, name, 0 if is_final else values[bucket])
        _make_payable(chain, VARIATION, bucket, instrument.quote, values[bucket] - sessions[bucket])


def _deliver(chain: Chain, name: str, bucket: str, count: int) -> None:
    """Take the contracts of an expired instrument back into clearing."""
    clearing = chain.ledger.place(chain.ledger.rules.clearing or "")
    place = chain.ledger.place(bucket)
    if clearing is None or place is None or not count:
        return
    source, target = (place, clearing) if count > 0 else (clearing, place)
    chain.book(source, target, name, abs(count))


def _fund(chain: Chain, fund: Fund, instrument: Instrument) -> None:
    ledger, tables = chain.ledger, chain.ledger.tables
    decimals = ledger.rules.assets[instrument.quote].decimals
    contracts = {
        bucket: tables.balance(bucket, fund.instrument)
        for bucket in sorted(tables.sessions.of(fund.instrument))
    }
    clearing = ledger.place(ledger.rules.clearing or "")
    rounding = _rounding(chain, clearing, instrument.quote)
    payments = funding_payments(
        instrument, contracts, fund.rate_e10, fund.price_e10, decimals, rounding is not None
    )
    for bucket, owed in payments.owed.items():
        _make_payable(chain, FUNDING, bucket, instrument.quote, owed)
    if clearing is not None and rounding is not None and payments.residue_units:
        chain.make_due(RESIDUE, clearing, rounding, instrument.quote, payments.residue_units)
    tables.put(tables.funded, fund.instrument, chain.at)


def _rounding(chain: Chain, clearing: Place | None, quote: str) -> Place | None:
    """Find the compartment that takes what rounding leaves in clearing."""
    rules = chain.ledger.rules
    way = rules.pays.get((RESIDUE, clearing.rule.index, quote)) if clearing is not None else None
    return chain.ledger.place(way.target_from(clearing)) if way is not None and clearing is not None else None


def _make_payable(chain: Chain, accrual: str, bucket: str, quote: str, owed: int) -> None:
    """Owe a bucket `owed` units through clearing, or let it owe them where they are below zero."""
    place = chain.ledger.place(bucket)
    clearing = chain.ledger.place(chain.ledger.rules.clearing or "")
    if place is None or clearing is None or not owed:
        return
    if owed > 0:
        chain.make_due(accrual, clearing, place, quote, owed)
    else:
        chain.make_due(accrual, place, clearing, quote, -owed)
