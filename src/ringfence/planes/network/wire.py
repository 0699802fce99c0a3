"""The binary port between services, without any socket: frames, messages and the rules of one connection.

A frame is a 4-byte big-endian length and that many bytes of msgpack: one message. The client opens with a
`Hello` and the server answers with its own; after that the client sends `Call`s, at most `window` unanswered,
and the server answers each with an `Answer` or a `Failure` of the same id, in any order. A body is bytes that
only the two ends of a method understand.

Every breach of these rules is a `ProtocolFault`: the connection is closed with that sentence and nothing else
happens. Memory is bounded by `FRAME_MAX` and the window, whatever the other end sends.
"""

from collections.abc import Iterator
from typing import Literal

import msgspec

from ringfence.kernel.errors import UnreachableError
from ringfence.kernel.instant import Instant

VERSION = 1
FRAME_MAX = 1 << 20
"""The largest frame in bytes, without its length."""

BODY_MAX = FRAME_MAX - 1_024
"""The largest body in bytes: what a frame holds beside the name of a method and the rest of the message."""

WINDOW = 64
"""How many calls one connection may have unanswered."""

_LENGTH = 4


class ProtocolFault(Exception):
    """The other end broke the rules of the port; the sentence says which."""


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="h"):
    """The first message of each end: the version it speaks and the window it grants."""

    version: int
    window: int = WINDOW


class Call(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """Ask for `method`; the answer is of no use after `deadline` (ns since the epoch)."""

    id: int
    method: str
    deadline: int
    body: bytes


class Answer(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """The outcome of call `id`."""

    id: int
    body: bytes


FailureCode = Literal["not_allowed", "unknown_method", "too_late", "overloaded", "bad_body", "failed"]


class Failure(msgspec.Struct, frozen=True, array_like=True, tag="f"):
    """Call `id` was not carried out, and why; `words` is one sentence."""

    id: int
    code: FailureCode
    words: str


class CallFailedError(UnreachableError):
    """A call was not carried out; `code` says why in one word."""

    def __init__(self, code: FailureCode, words: str) -> None:
        super().__init__(words)
        self.code = code


Message = Hello | Call | Answer | Failure

_decoder = msgspec.msgpack.Decoder(Message)
_encoder = msgspec.msgpack.Encoder()


def frame(message: Message) -> bytes:
    """Write one message as a frame; ValueError where it is over `FRAME_MAX`."""
    body = _encoder.encode(message)
    if len(body) > FRAME_MAX:
        raise ValueError(f"a message of {len(body)} bytes is over the largest frame, {FRAME_MAX} bytes")
    return len(body).to_bytes(_LENGTH, "big") + body


class Frames:
    """Cuts a stream of bytes into messages; keeps at most one unfinished frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield every message that `data` completes; ProtocolFault on the first that is none."""
        buffer = self._buffer
        buffer += data
        start, size = 0, len(buffer)
        try:
            while size - start >= _LENGTH:
                end = start + _LENGTH + self._length_at(start)
                if size < end:
                    break
                body = buffer[start + _LENGTH : end]
                start = end
                yield _message(body)
        finally:
            del buffer[:start]

    @property
    def is_between_frames(self) -> bool:
        """Say whether nothing is waiting for the rest of a frame."""
        return not self._buffer

    def _length_at(self, start: int) -> int:
        length = int.from_bytes(self._buffer[start : start + _LENGTH], "big")
        if not 0 < length <= FRAME_MAX:
            raise ProtocolFault(f"a frame of {length} bytes was announced; 1 to {FRAME_MAX} are possible")
        return length


class ServerRules:
    """What a client may send next: hello first, then calls with fresh ids inside the window."""

    def __init__(self, window: int = WINDOW) -> None:
        self._window = window
        self._open: set[int] = set()
        self._greeted = False

    def accept(self, message: Message) -> Hello | Call:
        """Take the client's next message; ProtocolFault where it may not come now."""
        if isinstance(message, Hello):
            if self._greeted:
                raise ProtocolFault("a second hello was sent; one opens a connection")
            if message.version != VERSION:
                raise ProtocolFault(f"version {message.version} was spoken; this end speaks {VERSION}")
            self._greeted = True
            return message
        if not isinstance(message, Call):
            raise ProtocolFault("a client sends hello and calls, and nothing else")
        if not self._greeted:
            raise ProtocolFault("a call came before hello")
        if message.id in self._open:
            raise ProtocolFault(f"call {message.id} is still unanswered; its id cannot be used again yet")
        if len(self._open) >= self._window:
            raise ProtocolFault(f"more than {self._window} calls were left unanswered")
        self._open.add(message.id)
        return message

    def answered(self, call: int) -> None:
        """Note that a call has its answer, so that its place in the window is free."""
        self._open.discard(call)


def is_late(call: Call, now: Instant) -> bool:
    """Say whether the deadline of a call has passed."""
    return now > call.deadline


def _message(body: bytes | bytearray) -> Message:
    try:
        message: Message = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise ProtocolFault(f"a frame of {len(body)} bytes is not a message: {fault}") from None
    return message
