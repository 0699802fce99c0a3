"""The answer to every request: accepted, or refused with a reason.

A refusal is a value, not an accident. Its reason is one word of `Reason`, whose order is the precedence:
where one step breaks several rules, the first reason in this order is the answer on every plane and in
every twin of a rule. Values are part of the journal's format: they are never reused and never renumbered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum


class Reason(IntEnum):
    """Which rule a refused request broke, in order of precedence; `meaning` says it in a sentence."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> "Reason":
        """Make the member `value` and keep its meaning beside it."""
        reason = int.__new__(cls, value)
        reason._value_ = value
        reason.meaning = meaning
        return reason

    # 1-19 the request itself
    BOOK_IS_STOPPED = 1, "The whole book is frozen: it takes facts, and requests only after it is resumed."
    ID_USED_WITH_OTHER_CONTENT = 2, "The id already names another request; an id is good for one content."
    ID_ALREADY_REFUSED = 3, "The request was refused before; a refused id can never succeed later."
    POLICY_DIGEST_DIFFERS = 4, "The request was signed for another policy than the one in force."
    REQUEST_EXPIRED = 5, "The time until which the request may be carried out has passed."
    CHAIN_IS_EMPTY = 6, "The request asks for nothing."
    AMOUNT_NOT_POSITIVE = 7, "An amount is a whole number of units from 1 on."
    AMOUNT_TOO_LARGE = 8, "One movement is at most 2^127 - 1 units."
    SOURCE_IS_TARGET = 9, "Source and target are the same compartment."
    CHAIN_TOO_LONG = 10, "The request has more links or signatures than a request may have."
    CLOCK_WENT_BACK = 11, "The time given is before the time of an earlier record of the book."
    ID_NOT_POSSIBLE = 12, "An id is a positive whole number below 2^128."
    NOT_PENDING = 13, "No request of that id is pending: it was never announced, or it has come to its end."
    HOLD_NOT_POSSIBLE = 14, "Only moves through gates are held, until a time to come; what is owed is not."
    # 20-39 what it names
    ASSET_UNKNOWN = 20, "The policy declares no such asset."
    COMPARTMENT_UNKNOWN = 21, "The policy declares no such compartment."
    MEMBER_NOT_OPEN = 22, "The member that the compartment belongs to has not been opened in this book."
    NO_GATE_BETWEEN_COMPARTMENTS = 23, "No gate leads from the source to the target: there is a wall."
    GATE_WORD_NOT_ENFORCED = 24, "The gate uses a word that this book does not enforce yet, so it stays shut."
    ASSET_NOT_ACCEPTED = 25, "The gate or one of its ends does not take this asset."
    EXCHANGE_LEGS_DIFFER = 26, "The moves are not the legs of the exchange, all of them together."
    INSTRUMENT_UNKNOWN = 27, "The policy declares no such instrument."
    ORDER_TERMS_DIFFER = 28, "The fill is not what the signed order asks for."
    PARTY_UNKNOWN = 29, "The policy declares no such family of members."
    MEMBER_NAME_INVALID = 30, "A member's name is 1 to 64 of a-z, 0-9, dot, dash and underscore."
    MEMBER_ALREADY_OPEN = 31, "The member was opened before."
    KEYS_DIFFER_FROM_POLICY = 32, "The keys given are not exactly those the policy declares."
    SCOPE_UNKNOWN = 33, "Nothing of that name can be frozen."
    PRICE_NAME_UNKNOWN = 34, "The policy declares no such price."
    PRICE_SOURCE_UNKNOWN = 35, "A quote comes from a source that the policy does not list for the price."
    KEY_ALREADY_KNOWN = 36, "The book knows that public key, or one under that name, already."
    KEY_NOT_SOUND = 37, "The public key is no proper point of the curve: anybody could sign for it."
    HOLD_UNKNOWN = 38, "No request of that id is held, or ever was."
    ONLY_BY_REQUEST = 39, "The gate asks what a row cannot say, such as margin's word: make a request."
    # 40-59 who asks
    SIGNATURE_INVALID = 40, "A signature does not fit the request and the key it names."
    KEY_UNKNOWN = 41, "The book knows no public key of that name."
    KEY_REVOKED = 42, "The key was revoked."
    NEEDS_NOT_MET = 43, "Keys that must sign have not signed."
    REASON_TEXT_MISSING = 44, "The gate asks for the reason in words."
    REVERSED_TRANSFER_UNKNOWN = (
        45,
        "The request to be reversed is unknown, or did not move this the other way.",
    )
    REVERSAL_EXCEEDS_ORIGINAL = 46, "The reversal gives back more than is left of what the original moved."
    REVERSAL_NOT_DECLARED = 47, "The gate makes no reversals."
    DELAY_NOT_PASSED = 48, "The delay of the gate has not passed since everybody needed had signed."
    NOT_ASKED_TO_SIGN = 49, "The key is none that the request needs here."
    REQUEST_CANCELLED = 50, "The request was cancelled while it was pending."
    MANDATE_MISSING = 51, "No standing mandate of the key that must give one is in force for this."
    SESSION_NOT_OPEN = 52, "The trading session is not open for this order, or was never opened."
    # 60-79 the state of the walls
    GATE_FROZEN = 60, "The gate is frozen."
    COMPARTMENT_FROZEN = 61, "One of the ends is frozen."
    ASSET_FROZEN = 62, "The asset or instrument is frozen."
    CONDITION_NOT_MET = 64, "A condition of the gate does not hold, or the fact that shows it is missing."
    TRADE_NOT_ALLOWED = 65, "The compartment may not trade this instrument."
    REDUCE_ONLY = 66, "Only fills that make the position smaller are allowed."
    WATERFALL_DOES_NOT_NAME_IT = 67, "The waterfall does not let this compartment bear the shortfall."
    WATERFALL_STEP_SKIPPED = 68, "An earlier step of the waterfall can still pay."
    ADDRESS_NOT_IN_FORCE = 69, "The place outside has no address that has cooled, or what was given is none."
    HOLD_HAS_ENDED = 70, "The hold was posted, voided or has run out; a hold has one end."
    WITHDRAWALS_HALTED = 71, "Nothing leaves for outside while withdrawals are halted there."
    CANCEL_ONLY = 72, "Orders are only cancelled there now; one signed as reduce_only may still reduce."
    MEMBER_NOT_EMPTY = 73, "A member is closed only when nothing of its own is left in the book."
    # 80-99 how much
    GATE_LIMIT_EXCEEDED = 80, "The amount is over what the gate's limit leaves room for."
    ENTITLEMENT_EXCEEDED = 81, "The amount is over what is owed."
    FREE_BALANCE_TOO_LOW = 82, "The source does not hold that many free units."
    BALANCE_TOO_LARGE = 83, "A running total would pass 2^128 - 1 units."
    DEBT_CAP_EXCEEDED = 84, "The compartment would owe more than the debt asset's cap."
    ORDER_OVERFILLED = 85, "The fills of the order would pass the number of contracts it was signed for."
    FUNDING_NOT_DUE = 86, "Funding was already paid in this interval, or the instrument has none."
    FUNDING_OVER_CAP = 87, "The funding rate is over the instrument's cap for one interval."
    HOLD_EXCEEDED = 88, "More would be posted than is held."
    HOLD_PARTS_DIFFER = 89, "The parts to be posted are not one for each move of the hold, some above zero."
    MANDATE_EXCEEDED = 90, "The amount is over what is left of the standing mandate."
    # 100-119 prices and margin
    PRICE_MISSING = 100, "The book holds no price of that name."
    PRICE_STALE = 101, "The last price is older than the policy allows."
    PRICE_OUTSIDE_BAND = 102, "The price lies outside the band around the index."
    INITIAL_MARGIN_TOO_LOW = 103, "The bucket's equity would not cover its initial margin."
    LEVERAGE_CAP_EXCEEDED = 104, "The bucket would be over its leverage limit."
    DAILY_LOSS_EXCEEDED = 105, "The bucket would have lost more than its limit for the day."
    DRAWDOWN_EXCEEDED = 106, "The bucket has fallen further from its best equity than its limit allows."
    PRICE_OFF_TICK = 107, "The price is not a positive whole number of the instrument's ticks."
    ORDER_LIMIT_PASSED = 108, "The price is worse than the limit the order was signed with."
    PRICE_SOURCES_DISAGREE = 109, "Too few fresh sources agree on the price."
    TAKEOVER_IS_DUE = (
        110,
        "The sale is below the bankruptcy price, and a pool can bear that: it passes on.",
    )
    # 120-139 the chain as a whole
    CLEARING_NOT_ZERO = 120, "Clearing would keep something at the end of the request; it must net to zero."
    LINKED_LEG_REFUSED = 121, "Another link of the same request was refused, so this one did not happen."
    OWED_NOT_PAID = 122, "Something owed by the settlement would stay unpaid at the end of the request."
    LAW_BROKEN = (
        123,
        "The request would have broken a law of the book, by a mistake of ringfence; it was stopped.",
    )
    # 140-159 the network
    SERVICE_UNKNOWN = 140, "The policy declares no such service or external."
    NO_FLOW_BETWEEN_SERVICES = 141, "No flow of the policy permits this connection."
    IDENTITY_INVALID = 142, "The caller's certificate does not hold exactly one well-formed SPIFFE id."
    METHOD_NOT_PERMITTED = 143, "No flow of the policy lets this identity call the method."
    # 160-179 another policy
    POLICY_NOT_ADOPTABLE = 160, "The new policy has errors, or is the one in force already."
    ADOPTION_NOT_DECLARED = 161, "The policy in force does not say who may widen it, so nobody may."
    ADOPTION_ALREADY_WAITS = 162, "Another adoption waits; it must be completed or cancelled first."
    ADOPTION_DROPS_WHAT_IS_HELD = 163, "The new policy has no place for something the book holds or owes."
    ADOPTION_NOT_WAITING = 164, "No adoption with that id waits."
    ADOPTION_NOT_DUE = 165, "The delay that the policy names for an adoption has not passed."
    # 180-199 taking over another book
    BOOK_NOT_EMPTY = 180, "What another book ended with is taken over before anything else is booked."
    OPENING_DOES_NOT_BALANCE = (
        181,
        "The contracts of an instrument do not add up to none, or a line is twice.",
    )


REASONS: Mapping[int, Reason] = {reason.value: reason for reason in Reason}
"""Every reason by its number, for those who read a journal."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The request was carried out (or had been before, when `repeated` is true).

    pending: nothing has moved yet; it waits for approvals or for its delay, and may be cancelled.
    """

    repeated: bool = False
    pending: bool = False


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
