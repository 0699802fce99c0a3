"""Drawing a debt: coins that are lent, each unit of them against one unit of the debt.

A gate with the accrual `debt_draw` leads from the last bearer of a bucket's waterfall to the bucket. One move
of coins through it books both legs: nothing is ever lent without its debt, and no debt without its coins.
"""

from ringfence.kernel.decision import Reason, Refused
from ringfence.planes.ledger.ledger import Ledger
from ringfence.planes.ledger.rules import AssetRule, GateRule, Place


def drawn_debt(
    ledger: Ledger, gate: GateRule, source: Place, bucket: Place, coin: str
) -> AssetRule | Refused:
    """Return the debt that a draw of a coin is recorded as; refused where the waterfall names no such one."""
    fall = bucket.rule.waterfall
    debt = ledger.rules.assets.get(fall.record or "") if fall is not None else None
    if fall is None or debt is None or fall.last != source.path or debt.debt_in != coin:
        words = f"the waterfall of {bucket.path} does not have {source.path} last with a debt in {coin}"
        return Refused(Reason.WATERFALL_DOES_NOT_NAME_IT, words, gate.line)
    for end in (source, bucket):
        if end.rule.accepts is not None and debt.name not in end.rule.accepts:
            return Refused(Reason.WATERFALL_DOES_NOT_NAME_IT, f"{end.path} takes no {debt.name}", gate.line)
    return debt


def drawable_units(ledger: Ledger, debt: AssetRule, bucket: Place) -> int | None:
    """Return how much more a bucket may draw; None where the debt has no cap."""
    if debt.debt_cap_units is None:
        return None
    return max(0, debt.debt_cap_units - ledger.tables.balance(bucket.path, debt.name))
