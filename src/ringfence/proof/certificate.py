"""Certificates: every verdict with its question, its world and its evidence, in one sealed file.

The seal is a digest of everything in the file, so that no byte of it can change unnoticed; what it says is
checked on its own merits by `checker`, which shares no code with the engines.
"""

from collections.abc import Iterable

import msgspec

from ringfence.kernel.digest import tagged_digest
from ringfence.kernel.errors import BadInput
from ringfence.policy.model import Policy
from ringfence.proof.claims import Decided, Verdict
from ringfence.proof.evidence import Evidence, NoEvidence
from ringfence.proof.questions import Fault as MeaningFault
from ringfence.proof.questions import Grounds, Never, Question, Trading, ask
from ringfence.proof.world import Fact, Row, World, write
from ringfence.proof.world import check as check_world

FORMAT = "ringfence certificate 1"


class Entry(Row, frozen=True):
    """One question decided: its claim and plane, the status, the bound, the evidence, and the number of the
    world it was asked in. A bound stands only where the evidence shows it."""

    claim: str
    plane: str
    status: str
    world: int
    question: Question
    bound: dict[str, int | None]
    evidence: Evidence


class Fault(Row, frozen=True):
    """A claim that says nothing, and why."""

    claim: str
    words: str


class Certificate(Row, frozen=True):
    """All verdicts on one policy. digest: of the policy, in hexadecimal."""

    format: str
    policy: str
    digest: str
    worlds: tuple[World, ...]
    entries: tuple[Entry, ...]
    faults: tuple[Fault, ...] = ()
    seal: str = ""


def certify(name: str, digest: bytes, verdicts: tuple[Verdict, ...]) -> Certificate:
    """Write verdicts down with everything needed to check them."""
    worlds: dict[bytes, int] = {}
    kept: list[World] = []
    entries = []
    for verdict in verdicts:
        for decided in verdict.decided:
            world = decided.answer.asked.index.world
            text = write(world)
            if text not in worlds:
                worlds[text] = len(kept)
                kept.append(world)
            entries.append(_entry(verdict, decided, worlds[text]))
    faults = tuple(Fault(one.claim, one.words) for one in verdicts if one.status == "vacuous")
    return seal(Certificate(FORMAT, name, digest.hex(), tuple(kept), tuple(entries), faults))


def _entry(verdict: Verdict, decided: Decided, world: int) -> Entry:
    found, question = decided.answer, decided.answer.asked.question
    is_unknown = decided.status == "unknown"
    # A route shows that something gets through, not how much.
    is_bound_shown = found.outcome == "holds" or (isinstance(question, Trading) and not is_unknown)
    return Entry(
        claim=verdict.claim,
        plane=decided.plane,
        status=decided.status,
        world=world,
        question=question,
        bound=found.bound if is_bound_shown else {},
        evidence=NoEvidence() if is_unknown else found.evidence,
    )


def seal(certificate: Certificate) -> Certificate:
    """Return the certificate with the digest of its content."""
    bare = msgspec.structs.replace(certificate, seal="")
    digest = tagged_digest(FORMAT, msgspec.json.encode(bare)).hex()
    return msgspec.structs.replace(bare, seal=digest)


def write_certificate(certificate: Certificate) -> bytes:
    """Write a certificate as JSON, one canonical text for one content."""
    return msgspec.json.encode(certificate)


def read_certificate(text: bytes) -> Certificate:
    """Read a certificate; BadInput where it is malformed, was changed, or is not written canonically."""
    try:
        certificate = msgspec.json.decode(text, type=Certificate)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"this is no certificate: {error}") from None
    if certificate.format != FORMAT:
        raise BadInput(f"the certificate says `{certificate.format}`; this program reads `{FORMAT}`")
    if seal(certificate).seal != certificate.seal:
        raise BadInput("the certificate was changed: its content does not fit its seal")
    if write_certificate(certificate) != text.removesuffix(b"\n"):
        raise BadInput("the certificate was changed: it is not written as certificates are")
    for world in certificate.worlds:
        check_world(world)
    return certificate


def differences(certificate: Certificate, policy: Policy, facts: Iterable[Fact] = ()) -> tuple[str, ...]:
    """Say where a certificate speaks of something else than a policy; () where every claim of it was asked
    as the policy means it, in the world that the policy makes."""
    grounds = Grounds(policy, facts)
    shown = {(entry.claim, entry.plane): entry for entry in certificate.entries}
    found = []
    for name in policy.claims:
        try:
            asked = ask(grounds, name)
        except MeaningFault as fault:
            if all(one.claim != name for one in certificate.faults):
                found.append(f"{name}: {fault}, and the certificate says nothing of it")
            continue
        for one in asked:
            plane = "" if isinstance(one.question, Never) else one.question.plane
            entry = shown.pop((name, plane), None)
            on = f" on {plane}" if plane else ""
            if entry is None:
                found.append(f"{name}{on}: the certificate says nothing of it")
            elif entry.question != one.question or certificate.worlds[entry.world] != one.index.world:
                found.append(f"{name}{on}: the certificate answers another question than the policy asks")
    return (*found, *(f"{claim}: the policy does not claim that" for claim, _ in shown))
