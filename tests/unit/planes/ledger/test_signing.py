"""Signatures are asked for one after another where nobody has threads for them."""

from ringfence.planes.ledger.signing import Question, one_by_one


def test_each_question_is_answered_in_its_turn_and_none_is_false_without_asking():
    asked = []

    def verify(public, message, signature):
        asked.append(message)
        return signature == b"good"

    questions = [
        Question(b"", b"0", b"good"),
        None,
        Question(b"", b"2", b"bad"),
        Question(b"", b"3", b"good"),
    ]
    assert one_by_one(verify)(3, questions.__getitem__) == [True, False, False]
    assert asked == [b"0", b"2"]
