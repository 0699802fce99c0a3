"""The small phrases of the language: `"1000000 per 1 d"`, `"2 of 3 within 1 %"`, `"A -> B"`.

Each phrase has a function that reads it and one that writes it back; reading what was written gives the same
value. Reading raises ValueError with a sentence that says what was found and what would be right.
"""

import re
from typing import NamedTuple

from ringfence.kernel.instant import parse_duration, show_duration
from ringfence.kernel.money import PPM, PRICE_SCALE, parse_decimal, show_decimal
from ringfence.policy.model import (
    Band,
    Cap,
    Condition,
    Journey,
    KeyNeed,
    LegPattern,
    Need,
    Quorum,
    Selector,
    Window,
)

_PPM_DIGITS = len(str(PPM // 100)) - 1
_PRICE_DIGITS = len(str(PRICE_SCALE)) - 1
_NEED_DEPTH_MAX = 8

NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?"
"""A plain name: of an asset, a key, a gate."""

PART = r"(?:[A-Za-z0-9_.-]+|\{[a-z][a-z0-9_]*\})"
PATTERN = rf"{PART}(?:/{PART})*"
"""A name with parts, of which some may be variables in braces."""


# --- shares, prices, amounts -------------------------------------------------------------------


def parse_share(text: str) -> int:
    """Turn `"15 %"` into parts per million; a sign is read, since a fee may be a rebate."""
    number, _, sign = text.rpartition(" ")
    if sign != "%" or not number:
        raise ValueError(f"`{text}` is not a share such as `15 %`")
    size = parse_decimal(number.removeprefix("-"), _PPM_DIGITS)
    return -size if number.startswith("-") else size


def show_share(ppm: int) -> str:
    """Write parts per million as a percentage."""
    return f"{show_decimal(ppm, _PPM_DIGITS)} %"


def parse_price(text: str) -> int:
    """Turn `"0.1"` into a price times PRICE_SCALE, above zero."""
    price_e10 = parse_decimal(text, _PRICE_DIGITS)
    if price_e10 == 0:
        raise ValueError(f"`{text}` is zero; a price or step is above zero")
    return price_e10


def show_price(price_e10: int) -> str:
    """Write a price times PRICE_SCALE as a plain decimal."""
    return show_decimal(price_e10, _PRICE_DIGITS)


class Amount(NamedTuple):
    """A number as written, and the asset it counts."""

    number: str
    asset: str


def parse_amount(text: str) -> Amount:
    """Split `"5000 USDC"` into its number and its asset; the decimals of the asset are needed to read on."""
    number, space, asset = text.partition(" ")
    if not space or not re.fullmatch(NAME, asset) or not re.fullmatch(r"[0-9]+(\.[0-9]+)?", number):
        raise ValueError(f"`{text}` is not an amount with its asset such as `5000 USDC`")
    return Amount(number, asset)


def parse_units(number: str, asset: str, decimals: int) -> int:
    """Turn `"5000"` or `"5000 USDC"` into whole units of `asset`."""
    bare = number.removesuffix(f" {asset}")
    return parse_decimal(bare, decimals)


def parse_contract(text: str) -> tuple[int, str]:
    """Turn `"0.001 BTC"` into a contract size times PRICE_SCALE and what it is counted in."""
    amount = parse_amount(text)
    return parse_price(amount.number), amount.asset


# --- caps and windows --------------------------------------------------------------------------

_WINDOW_WORDS = {"per": "fixed", "refill": "refill", "rolling": "rolling"}
_SHOWN_WINDOW = {kind: word for word, kind in _WINDOW_WORDS.items()}


def parse_cap(text: str, asset: str, decimals: int) -> Cap:
    """Turn `"1000000 per 1 d"` (or `refill`, `rolling`) into a cap on `asset`."""
    number, window = split_cap(text)
    return Cap(units=parse_units(number, asset, decimals), window=window)


def split_cap(text: str) -> tuple[str, Window]:
    """Split a cap into its amount as written and its window."""
    found = re.fullmatch(r"(.+?) (per|refill|rolling) (.+)", text)
    if found is None:
        raise ValueError(
            f"`{text}` is not a cap such as `1000 per 1 d`, `1000 refill 1 d` or `1000 rolling 1 d`"
        )
    number, word, length = found.groups()
    kind = _WINDOW_WORDS[word]
    return number, Window.model_validate({"kind": kind, "length_ns": parse_duration(length)})


def show_cap(cap: Cap, decimals: int) -> str:
    """Write a cap with its window."""
    return f"{show_decimal(cap.units, decimals)} {show_window(cap.window)}"


def show_window(window: Window) -> str:
    """Write a window: `per 1 d`, `refill 1 d` or `rolling 1 d`."""
    return f"{_SHOWN_WINDOW[window.kind]} {show_duration(window.length_ns)}"


# --- bands and agreement -----------------------------------------------------------------------


def parse_band(text: str) -> Band:
    """Turn `"within 1 % of index"` or `"at mark"` into a band."""
    found = re.fullmatch(r"(?:within (.+) of|at) (index|mark)", text)
    if found is None:
        raise ValueError(f"`{text}` is not a price band such as `within 1 % of index` or `at mark`")
    share, of = found.groups()
    return Band.model_validate({"ppm": parse_share(share) if share else 0, "of": of})


def show_band(band: Band) -> str:
    """Write a band."""
    return f"within {show_share(band.ppm)} of {band.of}" if band.ppm else f"at {band.of}"


class Agreement(NamedTuple):
    """`wanted` of `total` sources within `ppm` of each other."""

    wanted: int
    total: int
    ppm: int


def parse_agreement(text: str) -> Agreement:
    """Turn `"2 of 3 within 1 %"` into numbers."""
    found = re.fullmatch(r"([1-9][0-9]?) of ([1-9][0-9]?) within (.+)", text)
    if found is None:
        raise ValueError(f"`{text}` is not an agreement such as `2 of 3 within 1 %`")
    count, total, share = found.groups()
    return Agreement(int(count), int(total), parse_share(share))


def show_agreement(agreement: Agreement) -> str:
    """Write an agreement of sources."""
    return f"{agreement.wanted} of {agreement.total} within {show_share(agreement.ppm)}"


def parse_interest(text: str) -> int:
    """Turn `"8 % per year"` into ppm per year."""
    share = text.removesuffix(" per year")
    if share == text:
        raise ValueError(f"`{text}` is not an interest rate such as `8 % per year`")
    return parse_share(share)


def show_interest(ppm_per_year: int) -> str:
    """Write a yearly rate."""
    return f"{show_share(ppm_per_year)} per year"


def parse_equity_cap(text: str) -> int:
    """Turn `"10 % of equity"` into ppm."""
    share = text.removesuffix(" of equity")
    if share == text:
        raise ValueError(f"`{text}` is not a cap such as `10 % of equity`")
    return parse_share(share)


def show_equity_cap(ppm: int) -> str:
    """Write a cap in parts of a bucket's equity."""
    return f"{show_share(ppm)} of equity"


def parse_settlement(text: str) -> tuple[int, str]:
    """Turn `"8 h at mark"` into the length of the cycle and the name of the price."""
    length, at, price = text.partition(" at ")
    if at and price not in ("mark", "index"):
        raise ValueError(f"`{text}` names neither price; write `8 h at mark` or `8 h at index`")
    return parse_duration(length), price or "mark"


def show_settlement(length_ns: int, price: str) -> str:
    """Write a settlement cycle with its price."""
    return f"{show_duration(length_ns)} at {price}"


# --- keys that must sign -----------------------------------------------------------------------


def parse_need(text: str) -> Need:
    """Turn `client_key`, `client_key/{a}`, `client_key/acme` or `2 of [a, b]` (nested) into a need."""
    return _parse_need(text, _NEED_DEPTH_MAX)


def _parse_need(text: str, depth_left: int) -> Need:
    if depth_left == 0:
        raise ValueError(f"quorums nest more than {_NEED_DEPTH_MAX} deep")
    quorum = re.fullmatch(r"([1-9][0-9]?) of \[(.*)\]", text)
    if quorum is None:
        return parse_key_need(text)
    count, inside = quorum.groups()
    of = tuple(_parse_need(part.strip(), depth_left - 1) for part in _split_outside_brackets(inside))
    return Quorum(count=int(count), of=of)


def parse_key_need(text: str) -> KeyNeed:
    """Turn `client_key`, `client_key/{a}` or `client_key/acme` into the need for one key."""
    found = re.fullmatch(rf"({NAME})(?:/({PART}))?", text)
    if found is None:
        raise ValueError(f"`{text}` is neither a key such as `client_key` nor a quorum such as `2 of [a, b]`")
    return KeyNeed(key=found.group(1), member=found.group(2))


def _split_outside_brackets(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for index, letter in enumerate(text):
        depth += (letter == "[") - (letter == "]")
        if letter == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]


def show_need(need: Need) -> str:
    """Write a need."""
    if isinstance(need, Quorum):
        return f"{need.count} of [{', '.join(show_need(part) for part in need.of)}]"
    return f"{need.key}/{need.member}" if need.member else need.key


# --- conditions, legs, journeys ----------------------------------------------------------------

LENGTH_OF_CONDITION: dict[str, bool | None] = {
    "releasable": False,
    "flat": False,
    "operator_silent": True,
    "attested": None,
    "reconciled": None,
}
"""The `when` words: True where a length of time must follow, None where one may."""


def parse_condition(text: str) -> Condition:
    """Turn `releasable` or `operator_silent 30 d` into a condition."""
    word, space, length = text.partition(" ")
    takes_length = LENGTH_OF_CONDITION.get(word, False)
    if word not in LENGTH_OF_CONDITION:
        known = ", ".join(LENGTH_OF_CONDITION)
        raise ValueError(f"`{word}` is not a condition; the conditions are {known}")
    if space and takes_length is False:
        raise ValueError(f"`{word}` takes no length of time, and `{length}` follows it")
    if not space and takes_length:
        raise ValueError(f"`{word}` needs a length of time, such as `{word} 30 d`")
    return Condition(word=word, length_ns=parse_duration(length) if space else None)


def show_condition(condition: Condition) -> str:
    """Write a condition."""
    if condition.length_ns is None:
        return condition.word
    return f"{condition.word} {show_duration(condition.length_ns)}"


def parse_leg(text: str) -> LegPattern:
    """Turn `"client/{a}/cash -> client/{b}/cash"` into a leg."""
    source, target = _split_arrow(text)
    for end in (source, target):
        if not re.fullmatch(PATTERN, end):
            raise ValueError(f"`{end}` is not the name of a compartment such as `client/{{a}}/cash`")
    return LegPattern(source=source, target=target)


def show_leg(leg: LegPattern) -> str:
    """Write a leg."""
    return f"{leg.source} -> {leg.target}"


def parse_selector(text: str) -> Selector:
    """Turn `owner:client`, `role:insurance`, `anywhere` or a name with wildcards into a selector."""
    by, colon, name = text.partition(":")
    if text == "anywhere":
        return Selector(by="anywhere", text="")
    if colon:
        if by not in ("owner", "role") or not re.fullmatch(NAME, name):
            raise ValueError(f"`{text}` selects nothing; write a name, `owner:client` or `role:insurance`")
        return Selector.model_validate({"by": by, "text": name})
    part = rf"(?:{PART}|\*\*?)"
    if not re.fullmatch(rf"{part}(?:/{part})*", text):
        raise ValueError(f"`{text}` is not a name such as `client/{{a}}/*` or `client/**`")
    return Selector(by="name", text=text)


def show_selector(selector: Selector) -> str:
    """Write a selector."""
    if selector.by == "anywhere":
        return "anywhere"
    return selector.text if selector.by == "name" else f"{selector.by}:{selector.text}"


def parse_journey(text: str) -> Journey:
    """Turn `"owner:client -> role:house_money"` into a journey."""
    source, target = _split_arrow(text)
    if source == "anywhere":
        raise ValueError("`anywhere` can only be where a journey ends; start with `**`")
    return Journey(source=parse_selector(source), target=parse_selector(target))


def show_journey(journey: Journey) -> str:
    """Write a journey."""
    return f"{show_selector(journey.source)} -> {show_selector(journey.target)}"


def _split_arrow(text: str) -> tuple[str, str]:
    source, arrow, target = text.partition(" -> ")
    if not arrow or " -> " in target:
        raise ValueError(f"`{text}` is not a way such as `client/{{a}}/cash -> client/{{b}}/cash`")
    return source.strip(), target.strip()


# --- legal entity identifiers ------------------------------------------------------------------


def parse_lei(text: str) -> str:
    """Check a legal entity identifier: 20 letters and digits whose last two are the check (ISO 17442)."""
    if not re.fullmatch(r"[A-Z0-9]{18}[0-9]{2}", text):
        raise ValueError(f"`{text}` is not an LEI of 20 capital letters and digits")
    number = int("".join(str(int(letter, 36)) for letter in text))
    if number % 97 != 1:
        raise ValueError(f"`{text}` is not an LEI: its check digits do not fit")
    return text
