"""A request that waits is good until its last instant, that one included."""

from types import SimpleNamespace

import pytest

from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.pending import Pending


@pytest.mark.parametrize(("at", "is_expired"), [(6, False), (7, False), (8, True)])
def test_a_pending_request_is_good_until_it_expires(at, is_expired):
    waits = SimpleNamespace(request=SimpleNamespace(expires=7))
    assert Pending.is_expired(waits, Instant(at)) is is_expired  # type: ignore[arg-type]
