from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.kernel.instant import Instant
from ringfence.planes.network.wire import (
    FRAME_MAX,
    VERSION,
    Answer,
    Call,
    Failure,
    Frames,
    Hello,
    ProtocolFault,
    ServerRules,
    frame,
    is_late,
)

messages = st.one_of(
    st.builds(Hello, st.integers(0, 2**31), st.integers(1, 2**16)),
    st.builds(Call, st.integers(0, 2**63), st.text(max_size=20), st.integers(0, 2**62), st.binary()),
    st.builds(Answer, st.integers(0, 2**63), st.binary()),
    st.builds(Failure, st.integers(0, 2**63), st.sampled_from(["too_late", "failed"]), st.text()),
)


@given(st.lists(messages, max_size=8), st.data())
def test_messages_come_out_as_they_went_in_however_the_stream_is_cut(sent, data):
    stream = b"".join(frame(message) for message in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    frames, received = Frames(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += frames.feed(stream[start:end])
    assert received == sent
    assert frames.is_between_frames


@given(st.binary(max_size=200))
def test_junk_is_a_fault_or_an_unfinished_frame_and_never_anything_else(junk):
    with suppress(ProtocolFault):
        list(Frames().feed(junk))


@pytest.mark.parametrize(
    ("length", "is_good"), [(0, False), (1, True), (FRAME_MAX, True), (FRAME_MAX + 1, False)]
)
def test_a_frame_is_judged_by_its_length_before_it_arrives(length, is_good):
    frames = Frames()
    header = length.to_bytes(4, "big")
    if is_good:
        assert list(frames.feed(header)) == []
        assert not frames.is_between_frames
    else:
        with pytest.raises(ProtocolFault):
            list(frames.feed(header))


def test_a_message_over_the_largest_frame_is_not_sent():
    overhead = len(frame(Answer(1, b"\0" * 70_000))) - 4 - 70_000
    assert frame(Answer(1, b"\0" * (FRAME_MAX - overhead)))
    with pytest.raises(ValueError, match="largest frame"):
        frame(Answer(1, b"\0" * (FRAME_MAX - overhead + 1)))


def greeted(window=2):
    rules = ServerRules(window)
    rules.accept(Hello(VERSION))
    return rules


def call(number):
    return Call(number, "check", 10, b"")


@pytest.mark.parametrize(
    ("before", "message", "words"),
    [
        ([], call(1), "before hello"),
        ([], Hello(VERSION + 1), "version"),
        ([Hello(VERSION)], Hello(VERSION), "second hello"),
        ([Hello(VERSION)], Answer(1, b""), "nothing else"),
        ([Hello(VERSION), call(1)], call(1), "still unanswered"),
        ([Hello(VERSION), call(1), call(2)], call(3), "more than 2"),
    ],
)
def test_a_client_that_breaks_the_order_is_told_how(before, message, words):
    rules = ServerRules(2)
    for each in before:
        rules.accept(each)
    with pytest.raises(ProtocolFault, match=words):
        rules.accept(message)


def test_an_answer_frees_a_place_in_the_window_and_the_id():
    rules = greeted()
    rules.accept(call(1))
    rules.accept(call(2))
    rules.answered(1)
    assert rules.accept(call(1)) == call(1)


@pytest.mark.parametrize(("now", "late"), [(9, False), (10, False), (11, True)])
def test_a_call_is_late_after_its_deadline(now, late):
    assert is_late(call(1), Instant(now)) == late
