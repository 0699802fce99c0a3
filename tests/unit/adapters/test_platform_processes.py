"""What the supervisor of a platform decides by the clock, also where the clock jumps."""

import pytest
from cryptography import x509

from ringfence.adapters.identity_x509 import Authority
from ringfence.adapters.platform_processes import (
    AUTHORITY_NS,
    CLOCK_BACK_NS,
    RESTARTS_MAX,
    RESTARTS_NS,
    SVID_NS,
    is_renewal_due,
    may_restart,
)
from ringfence.kernel.instant import DAY_NS, HOUR_NS, Instant, parse_instant

NOON = parse_instant("2026-03-01T12:00:00Z")


@pytest.mark.parametrize(
    ("passed_ns", "due"),
    [
        (0, False),
        (SVID_NS // 2, False),
        (SVID_NS // 2 + 1, True),
        (HOUR_NS, True),
        (30 * DAY_NS, True),
        (-1, True),
        (-HOUR_NS, True),
    ],
)
def test_an_identity_is_renewed_at_half_its_life_and_when_the_clock_jumps(passed_ns: int, due: bool) -> None:
    assert is_renewal_due(NOON, NOON + passed_ns, SVID_NS) is due


@pytest.mark.parametrize(
    "passed_ns", [-CLOCK_BACK_NS + HOUR_NS, -HOUR_NS, 0, HOUR_NS, 25 * HOUR_NS, 400 * DAY_NS]
)
def test_the_authority_is_good_before_and_after_everything_it_issues(passed_ns: int) -> None:
    authority = Authority.create("harbour", Instant(NOON - CLOCK_BACK_NS), CLOCK_BACK_NS + AUTHORITY_NS)
    svid = authority.issue("spiffe://harbour/ledger", Instant(NOON + passed_ns), SVID_NS)
    assert svid.expires == NOON + passed_ns + SVID_NS
    (root,) = x509.load_pem_x509_certificates(authority.bundle)
    leaf = x509.load_pem_x509_certificates(svid.certificate)[0]
    assert root.not_valid_before_utc <= leaf.not_valid_before_utc
    assert leaf.not_valid_after_utc <= root.not_valid_after_utc


@pytest.mark.parametrize(
    ("ago", "may"),
    [
        ((), True),
        ((0,) * (RESTARTS_MAX - 1), True),
        ((0,) * RESTARTS_MAX, False),
        ((RESTARTS_NS - 1,) * RESTARTS_MAX, False),
        ((RESTARTS_NS, *(0,) * (RESTARTS_MAX - 1)), True),
        ((RESTARTS_NS,) * RESTARTS_MAX, True),
        ((-HOUR_NS,) * RESTARTS_MAX, False),
    ],
)
def test_a_service_is_started_again_as_long_as_it_does_not_die_too_often_of_late(
    ago: tuple[int, ...], may: bool
) -> None:
    assert may_restart([Instant(NOON - one) for one in ago], NOON) is may


def test_a_service_that_dies_now_and_then_is_started_again_for_ever() -> None:
    restarted: tuple[Instant, ...] = ()
    for number in range(100):
        now = Instant(NOON + number * (RESTARTS_NS // (RESTARTS_MAX - 1)))
        assert may_restart(restarted, now)
        restarted = (*restarted, now)[-RESTARTS_MAX:]
