"""The binary port on real loopback sockets: calls, refusals, limits and peers that misbehave."""

import asyncio
import time
import tracemalloc
from contextlib import asynccontextmanager

import pytest

from ringfence.adapters.identity_x509 import Authority, client_context, server_context
from ringfence.adapters.port_client import PortClient
from ringfence.adapters.port_server import Limits, PortServer
from ringfence.kernel.errors import UnreachableError
from ringfence.kernel.instant import DAY_NS, HOUR_NS, Instant
from ringfence.planes.network.wire import VERSION, Call, CallFailedError, Hello, frame

RISK = "spiffe://harbour/risk"
LEDGER = "spiffe://harbour/ledger"


class RealClock:
    def now(self):
        return Instant(time.time_ns())


CLOCK = RealClock()


async def slow_echo(peer, body):
    await asyncio.sleep(0.01)
    return body[::-1]


def refuses(peer, body):
    raise CallFailedError("bad_body", "the body was empty")


async def never(peer, body):
    await asyncio.Event().wait()
    return b""


METHODS = {
    "never": never,
    "echo": lambda peer, body: peer.encode() + b":" + body,
    "slow": slow_echo,
    "refuses": refuses,
    "secret": lambda peer, body: b"",
}


def _only_open(peer, method):
    return f"{peer} may not call {method}" if method == "secret" else ""


@asynccontextmanager
async def serving(limits=None, identity=RISK, context=None):
    log = []
    server = PortServer(METHODS, _only_open, CLOCK, log.append, identity=identity, limits=limits)
    port = await server.listen("127.0.0.1", 0, context)
    try:
        yield server, port, log
    finally:
        await server.close()


def run(scenario):
    asyncio.run(asyncio.wait_for(scenario, 20))


def test_calls_are_answered_in_any_order_on_one_connection():
    async def scenario():
        async with serving() as (_, port, log):
            client = await PortClient.connect("127.0.0.1", port)
            answers = await asyncio.gather(
                *(client.call(CLOCK, "slow" if n % 2 else "echo", b"ab%d" % n) for n in range(200))
            )
            assert answers[0] == f"{RISK}:ab0".encode()
            assert answers[1] == b"1ba"
            await client.close()
        assert log == []

    run(scenario())


@pytest.mark.parametrize(
    ("method", "code"), [("secret", "not_allowed"), ("nothing", "unknown_method"), ("refuses", "bad_body")]
)
def test_a_call_that_is_not_carried_out_says_why_and_the_connection_stays(method, code):
    async def scenario():
        async with serving() as (_, port, _log):
            client = await PortClient.connect("127.0.0.1", port)
            with pytest.raises(CallFailedError) as failed:
                await client.call(CLOCK, method, b"")
            assert failed.value.code == code
            assert await client.call(CLOCK, "echo", b"") == f"{RISK}:".encode()
            await client.close()

    run(scenario())


def test_a_call_whose_deadline_has_passed_is_not_carried_out():
    class Behind:
        def now(self):
            return Instant(time.time_ns() - HOUR_NS)

    async def scenario():
        async with serving() as (_, port, _log):
            client = await PortClient.connect("127.0.0.1", port)
            with pytest.raises(CallFailedError) as failed:
                await client.call(Behind(), "echo", b"")
            assert failed.value.code == "too_late"
            await client.close()

    run(scenario())


def test_a_server_whose_clock_jumps_goes_on_and_says_what_is_too_late():
    class Jumping:
        shift_ns = 0

        def now(self):
            return Instant(time.time_ns() + self.shift_ns)

    async def scenario():
        async with serving() as (server, port, log):
            server.clock = Jumping()
            client = await PortClient.connect("127.0.0.1", port)
            for shift_ns, is_late in ((0, False), (HOUR_NS, True), (-HOUR_NS, False), (0, False)):
                server.clock.shift_ns = shift_ns
                if is_late:
                    with pytest.raises(CallFailedError) as failed:
                        await client.call(CLOCK, "echo", b"")
                    assert failed.value.code == "too_late"
                else:
                    assert await client.call(CLOCK, "echo", b"") == f"{RISK}:".encode()
            await client.close()
        assert log == [], "a clock that jumps is no peer that breaks the rules"

    run(scenario())


def test_nobody_listening_is_one_sentence():
    async def scenario():
        async with serving() as (server, port, _log):
            await server.close()
            with pytest.raises(UnreachableError, match="cannot be reached"):
                await PortClient.connect("127.0.0.1", port)

    run(scenario())


def test_a_server_that_goes_away_ends_every_call_that_waits():
    async def scenario():
        async with serving() as (server, port, _log):
            client = await PortClient.connect("127.0.0.1", port)
            waiting = asyncio.gather(
                *(client.call(CLOCK, "slow", b"") for _ in range(5)), return_exceptions=True
            )
            await asyncio.sleep(0)
            await server.close()
            assert all(isinstance(outcome, UnreachableError) for outcome in await waiting)

    run(scenario())


async def raw(port, *sent, end=False):
    """Send bytes and read until the server closes; returns what it sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for data in sent:
        writer.write(data)
        await writer.drain()
    if end:
        writer.write_eof()
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


HELLO = frame(Hello(VERSION))


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ([b"\xff\xff\xff\xff"], "was announced"),
        ([b"\0\0\0\3abc"], "not a message"),
        ([frame(Call(1, "echo", 2**62, b""))], "before hello"),
        ([frame(Hello(VERSION + 1))], "version"),
        ([HELLO, HELLO], "second hello"),
    ],
)
def test_a_peer_that_breaks_the_rules_is_closed_and_logged_once(sent, words):
    async def scenario():
        async with serving() as (_, port, log):
            await raw(port, b"".join(sent))
            assert len(log) == 1
            assert words in log[0]
            client = await PortClient.connect("127.0.0.1", port)
            assert await client.call(CLOCK, "echo", b"")
            await client.close()

    run(scenario())


@pytest.mark.parametrize(
    ("sent", "words"),
    [([], "no hello"), ([HELLO[:2]], "no hello|not finished"), ([HELLO, HELLO[:3]], "not finished")],
)
def test_a_peer_that_stalls_is_closed(sent, words):
    async def scenario():
        async with serving(Limits(hello_s=0.05, frame_s=0.05)) as (_, port, log):
            await raw(port, *sent)
            assert len(log) == 1
            assert any(part in log[0] for part in words.split("|"))

    run(scenario())


def test_more_calls_than_the_window_close_the_connection():
    async def scenario():
        async with serving(Limits(window=3)) as (_, port, log):
            calls = b"".join(frame(Call(n, "slow", 2**62, b"")) for n in range(4))
            await raw(port, HELLO + calls)
            assert "more than 3" in log[0]

    run(scenario())


def test_connections_are_bounded_and_a_place_becomes_free_again():
    async def scenario():
        async with serving(Limits(connections=2)) as (server, port, log):
            first, second = [await PortClient.connect("127.0.0.1", port) for _ in range(2)]
            with pytest.raises(UnreachableError):
                await PortClient.connect("127.0.0.1", port)
            assert "2 connections already" in log[0]
            await first.close()
            while len(server.connections) > 1:
                await asyncio.sleep(0.001)
            third = await PortClient.connect("127.0.0.1", port)
            assert await third.call(CLOCK, "echo", b"")
            await asyncio.gather(second.close(), third.close())

    run(scenario())


def test_ten_thousand_junk_frames_leave_the_server_serving():
    async def scenario():
        async with serving() as (server, port, log):
            for n in range(100):
                junk = b"".join((5).to_bytes(4, "big") + bytes([n, k, 1, 2, 3]) for k in range(100))
                await raw(port, junk)
            assert len(log) == 100
            assert not server.connections
            client = await PortClient.connect("127.0.0.1", port)
            assert await client.call(CLOCK, "echo", b"")
            await client.close()

    run(scenario())


def test_a_caller_who_gave_up_does_not_overfill_the_window():
    async def scenario():
        async with serving(Limits(window=2)) as (_, port, log):
            client = await PortClient.connect("127.0.0.1", port)
            for _ in range(4):
                hasty = (client.call(CLOCK, "slow", b"", seconds=0.001) for _ in range(2))
                assert all(
                    isinstance(one, UnreachableError)
                    for one in await asyncio.gather(*hasty, return_exceptions=True)
                )
            assert await client.call(CLOCK, "echo", b"") == f"{RISK}:".encode()
            await client.close()
            assert log == []

    run(scenario())


def test_a_full_window_is_waited_for_no_longer_than_a_call():
    async def scenario():
        async with serving(Limits(window=2)) as (_, port, _log):
            client = await PortClient.connect("127.0.0.1", port)
            calls = (client.call(CLOCK, "never", b"", seconds=0.05) for _ in range(3))
            words = sorted(str(one) for one in await asyncio.gather(*calls, return_exceptions=True))
            assert words == [
                "'never' found no place in the window within 0.05 s",
                "'never' was not answered in time",
                "'never' was not answered in time",
            ]
            await client.close()

    run(scenario())


def test_a_stream_that_never_ends_between_frames_is_no_stall():
    async def scenario():
        async with serving(Limits(frame_s=0.05)) as (_, port, log):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stream = HELLO + b"".join(frame(Call(n, "echo", 2**62, b"")) for n in range(20))
            step = len(stream) // 20 + 3
            for start in range(0, len(stream), step):
                writer.write(stream[start : start + step])
                await writer.drain()
                await asyncio.sleep(0.02)
            assert log == []
            assert len(await reader.read(1 << 16)) > 0
            writer.close()

    run(scenario())


def test_a_peer_that_trickles_one_frame_is_closed():
    async def scenario():
        async with serving(Limits(frame_s=0.05)) as (_, port, log):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HELLO)
            for byte in frame(Call(1, "echo", 2**62, bytes(100)))[:-1]:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.002)
            assert [line for line in log if "not finished" in line] == log
            assert len(log) == 1
            writer.close()

    run(scenario())


def test_one_peer_cannot_take_every_connection():
    async def scenario():
        async with serving(Limits(connections=6, of_one_peer=2)) as (server, port, log):
            mine = [await PortClient.connect("127.0.0.1", port) for _ in range(2)]
            with pytest.raises(UnreachableError):
                await PortClient.connect("127.0.0.1", port)
            assert log == [f"{RISK}: it had 2 connections already"]
            server.identity = LEDGER
            other = await PortClient.connect("127.0.0.1", port)
            assert await other.call(CLOCK, "echo", b"") == f"{LEDGER}:".encode()
            await asyncio.gather(other.close(), *(client.close() for client in mine))

    run(scenario())


def test_ten_thousand_connections_leave_the_server_serving_in_bounded_memory():
    async def knock(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        return await reader.read(1), writer

    async def scenario():
        limits = Limits(connections=300, of_one_peer=300, hello_s=60)
        async with serving(limits) as (server, port, log):
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
            while len(server.connections) < 300:
                await asyncio.sleep(0.001)
            tracemalloc.start()
            for _ in range(97):
                for answered, writer in await asyncio.gather(*(knock(port) for _ in range(100))):
                    assert answered == b""
                    writer.close()
            kept, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert len(server.connections) == 300
            assert kept < 8_000_000
            assert log == ["an unknown peer: there were 300 connections already"] * 9_700
            held.pop()[1].close()
            while len(server.connections) > 299:
                await asyncio.sleep(0.001)
            client = await PortClient.connect("127.0.0.1", port)
            assert await client.call(CLOCK, "echo", b"")
            await client.close()
            for _, writer in held:
                writer.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))


# --- with identities ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority():
    return Authority.create("harbour", CLOCK.now(), DAY_NS)


def svid(authority, identity):
    return authority.issue(identity, CLOCK.now(), HOUR_NS)


def test_over_tls_the_peer_is_who_its_certificate_says(authority):
    async def scenario():
        context = server_context(svid(authority, LEDGER), authority.bundle)
        async with serving(identity=None, context=context) as (server, port, log):
            mine = client_context(svid(authority, RISK), authority.bundle)
            client = await PortClient.connect("127.0.0.1", port, mine, expected=LEDGER)
            assert await client.call(CLOCK, "echo", b"!") == f"{RISK}:!".encode()
            assert server.drop(RISK) == 1
            with pytest.raises(UnreachableError):
                await client.call(CLOCK, "echo", b"!")
            assert log == [f"{RISK}: {RISK} was revoked"]

    run(scenario())


def test_a_client_does_not_speak_to_somebody_else(authority):
    async def scenario():
        context = server_context(svid(authority, "spiffe://harbour/gateway"), authority.bundle)
        async with serving(identity=None, context=context) as (_, port, _log):
            mine = client_context(svid(authority, RISK), authority.bundle)
            with pytest.raises(UnreachableError, match="where spiffe://harbour/ledger was expected"):
                await PortClient.connect("127.0.0.1", port, mine, expected=LEDGER)

    run(scenario())


def test_a_client_of_another_authority_gets_no_connection(authority):
    async def scenario():
        context = server_context(svid(authority, LEDGER), authority.bundle)
        stranger = Authority.create("harbour", CLOCK.now(), DAY_NS)
        forged = svid(stranger, RISK)
        async with serving(identity=None, context=context) as (server, port, log):
            with pytest.raises(UnreachableError):
                await PortClient.connect(
                    "127.0.0.1", port, client_context(forged, authority.bundle), expected=LEDGER
                )
            assert not server.connections
            assert len(log) == 1
            assert "TLS refused it" in log[0]

    run(scenario())


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 40, b"\x16\x03\x01\xff\xff" + bytes(400), HELLO],
    ids=["nothing", "http", "noise", "a client hello of junk", "a hello in the clear"],
)
def test_what_is_no_tls_is_refused_once_and_the_server_stays(authority, sent):
    async def scenario():
        context = server_context(svid(authority, LEDGER), authority.bundle)
        limits = Limits(handshake_s=0.2)
        async with serving(identity=None, context=context, limits=limits) as (_, port, log):
            await raw(port, sent)
            while not log:
                await asyncio.sleep(0.001)
            assert len(log) == 1
            assert "TLS refused it" in log[0]
            mine = client_context(svid(authority, RISK), authority.bundle)
            client = await PortClient.connect("127.0.0.1", port, mine, expected=LEDGER)
            assert await client.call(CLOCK, "echo", b"")
            await client.close()

    run(scenario())


def test_handshakes_that_are_not_finished_count_as_connections(authority):
    async def scenario():
        context = server_context(svid(authority, LEDGER), authority.bundle)
        limits = Limits(connections=5, handshake_s=0.3)
        async with serving(identity=None, context=context, limits=limits) as (_, port, log):
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
            mine = client_context(svid(authority, RISK), authority.bundle)
            with pytest.raises(UnreachableError):
                await PortClient.connect("127.0.0.1", port, mine, expected=LEDGER)
            assert log == ["an unknown peer: there were 5 connections already"]
            await asyncio.gather(*(reader.read() for reader, _ in silent))
            assert len(log) == 6
            client = await PortClient.connect("127.0.0.1", port, mine, expected=LEDGER)
            assert await client.call(CLOCK, "echo", b"")
            await client.close()

    run(scenario())


def test_a_rotated_identity_drops_no_call(authority):
    from ringfence.adapters.identity_x509 import rotate

    async def scenario():
        context = server_context(svid(authority, LEDGER), authority.bundle)
        async with serving(identity=None, context=context) as (_, port, log):
            mine = client_context(svid(authority, RISK), authority.bundle)
            client = await PortClient.connect("127.0.0.1", port, mine, expected=LEDGER)
            calls = [asyncio.ensure_future(client.call(CLOCK, "slow", b"ab")) for _ in range(20)]
            rotate(context, svid(authority, LEDGER))
            rotate(mine, svid(authority, RISK))
            fresh = await PortClient.connect("127.0.0.1", port, mine, expected=LEDGER)
            assert await fresh.call(CLOCK, "echo", b"")
            assert await asyncio.gather(*calls) == [b"ba"] * 20
            assert log == []
            await asyncio.gather(client.close(), fresh.close())

    run(scenario())
