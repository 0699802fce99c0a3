"""The answer to every request: accepted, or refused with a reason.

A refusal is a value, not an accident. Its reason is one word of `Reason`, whose order is the precedence:
where a request breaks several rules, the first reason in this order is the answer on every plane and in
every twin of a rule. Values are part of the journal's format: they are never reused and never renumbered.
"""

from dataclasses import dataclass
from enum import IntEnum


class Reason(IntEnum):
    """Which rule a refused request broke, in order of precedence."""

    # 1-19 the request itself
    BOOK_IS_STOPPED = 1
    ID_USED_WITH_OTHER_CONTENT = 2
    ID_ALREADY_REFUSED = 3
    POLICY_DIGEST_DIFFERS = 4
    REQUEST_EXPIRED = 5
    CHAIN_IS_EMPTY = 6
    AMOUNT_NOT_POSITIVE = 7
    AMOUNT_TOO_LARGE = 8
    SOURCE_IS_TARGET = 9
    # 20-39 what it names
    ASSET_UNKNOWN = 20
    COMPARTMENT_UNKNOWN = 21
    MEMBER_NOT_OPEN = 22
    NO_GATE_BETWEEN_COMPARTMENTS = 23
    GATE_WORD_NOT_ENFORCED = 24
    ASSET_NOT_ACCEPTED = 25
    EXCHANGE_LEGS_DIFFER = 26
    # 40-59 who asks
    SIGNATURE_INVALID = 40
    KEY_UNKNOWN = 41
    KEY_REVOKED = 42
    NEEDS_NOT_MET = 43
    REASON_TEXT_MISSING = 44
    REVERSED_TRANSFER_UNKNOWN = 45
    REVERSAL_EXCEEDS_ORIGINAL = 46
    # 60-79 the state of the walls
    GATE_FROZEN = 60
    COMPARTMENT_FROZEN = 61
    ASSET_FROZEN = 62
    DELAY_NOT_PASSED = 63
    CONDITION_NOT_MET = 64
    TRADE_NOT_ALLOWED = 65
    REDUCE_ONLY = 66
    # 80-99 how much
    GATE_LIMIT_EXCEEDED = 80
    ENTITLEMENT_EXCEEDED = 81
    FREE_BALANCE_TOO_LOW = 82
    BALANCE_TOO_LARGE = 83
    DEBT_CAP_EXCEEDED = 84
    # 100-119 prices and margin
    PRICE_MISSING = 100
    PRICE_STALE = 101
    PRICE_OUTSIDE_BAND = 102
    INITIAL_MARGIN_TOO_LOW = 103
    LEVERAGE_CAP_EXCEEDED = 104
    DAILY_LOSS_EXCEEDED = 105
    DRAWDOWN_EXCEEDED = 106
    # 120-139 the chain as a whole
    CLEARING_NOT_ZERO = 120
    LINKED_LEG_REFUSED = 121


@dataclass(frozen=True, slots=True)
class Accepted:
    """The request was carried out (or had been before, when `repeated` is true)."""

    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The request was not carried out and changed nothing.

    reason: the rule that was broken; words: one sentence with what was found and what would be right;
    rule: the policy line that refused it as `file:line`, or "" where no line does; leg: index of the leg of
    the request that was refused, from 0.
    """

    reason: Reason
    words: str
    rule: str = ""
    leg: int = 0


Decision = Accepted | Refused
