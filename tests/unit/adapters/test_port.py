"""The binary port on real loopback sockets: calls, refusals, limits and peers that misbehave."""

import asyncio
import time
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


METHODS = {
    "echo": lambda peer, body: peer.encode() + b":" + body,
    "slow": slow_echo,
    "refuses": refuses,
    "secret": lambda peer, body: b"",
}


@asynccontextmanager
async def serving(limits=None, identity=RISK, context=None):
    log = []
    server = PortServer(
        METHODS, lambda _, method: method != "secret", CLOCK, log.append, identity=identity, limits=limits
    )
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
        async with serving(identity=None, context=context) as (server, port, _log):
            with pytest.raises(UnreachableError):
                await PortClient.connect(
                    "127.0.0.1", port, client_context(forged, authority.bundle), expected=LEDGER
                )
            assert not server.connections

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
