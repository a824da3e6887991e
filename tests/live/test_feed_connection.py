"""A stream goes on whatever becomes of its connections: the server here is a real one."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from vostok_live.feed.connection import (
    Allowance,
    Arrival,
    Change,
    MarketStream,
    Patience,
)
from vostok_live.feed.events import Malformed, Resumed, Tick
from vostok_live.feed.inbox import Inbox
from vostok_live.feed.parse import MAX_FRAME
from vostok_live.seams import Seams, real_seams

QUICK = Patience(connect=5.0, quiet=5.0, pong=5.0, steady=0.0, pause=0.001, longest_pause=0.01)


@dataclass
class Heard:
    """What a stream said of itself."""

    inbox: Inbox[Arrival]
    stream: MarketStream = field(init=False)
    changes: list[Change] = field(default_factory=list)
    flaws: list[Malformed] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ids: list[int] = field(default_factory=list)
    resumed: int = 0

    async def trades(self, count: int) -> list[int]:
        """Ids of all trades so far, once there are so many."""
        while len(self.ids) < count:
            await self.inbox.wait()
            for item in self.inbox.take():
                if isinstance(item, Tick):
                    self.ids.append(item.trade_id)
                elif isinstance(item, Resumed):
                    self.resumed += 1
        return self.ids

    async def until(self, happened: Callable[[], bool]) -> None:
        """Return once changes of connections have made it so."""
        while not happened():
            self.changed.clear()
            await self.changed.wait()

    def changed_to(self, change: Change) -> None:
        self.changes.append(change)
        self.changed.set()

    def states(self) -> list[tuple[str, int, str]]:
        return [(c.state, c.connection, c.reason) for c in self.changes if c.state != "waiting"]


def play(
    scenario: Callable[[Heard], Coroutine[Any, Any, None]],
    exchange: Any,
    patience: Patience = QUICK,
    room: int = 10_000,
    allowance: Allowance | None = None,
) -> Heard:
    """Run a scenario against a scripted exchange; it must end by itself."""

    async def run() -> Heard:
        base = real_seams()
        seams = Seams(base.clock, random.Random(1), base.connector, base.connect)
        heard = Heard(Inbox(room))
        async with exchange, aiohttp.ClientSession(connector=seams.connector()) as session:
            heard.stream = MarketStream(
                exchange.ws_url,
                ["btcusdt@aggTrade"],
                heard.inbox,
                session=session,
                seams=seams,
                patience=patience,
                allowance=allowance or Allowance(),
                on_change=heard.changed_to,
                on_flaw=heard.flaws.append,
            )
            running = asyncio.create_task(heard.stream.run())
            playing = asyncio.create_task(scenario(heard))
            await asyncio.wait((running, playing), return_when=asyncio.FIRST_COMPLETED)
            running.cancel()
            playing.cancel()
            ended = await asyncio.gather(running, playing, return_exceptions=True)
            for error in ended:
                if isinstance(error, Exception):
                    raise error
        return heard

    return asyncio.run(asyncio.wait_for(run(), 60))


def test_trades_come_once_the_subscription_is_granted(scripted: Any) -> None:
    async def script(link: Any) -> None:
        await link.subscribed()
        await link.trade(1, 2, 3)
        await link.gone()

    exchange = scripted(script)

    async def scenario(heard: Heard) -> None:
        assert await heard.trades(3) == [1, 2, 3]
        assert heard.stream.up
        assert heard.stream.heard_ns > 0

    heard = play(scenario, exchange)
    (link,) = exchange.links
    assert link.asked == {"method": "SUBSCRIBE", "params": ["btcusdt@aggTrade"], "id": 1}
    assert link.query == {"timeUnit": "MICROSECOND"}
    assert heard.states() == [("connecting", 1, ""), ("up", 1, ""), ("down", 1, "stopped")]
    assert heard.resumed == 1
    assert not heard.stream.up


@pytest.mark.parametrize("how", ["reset", "close 1012", "refused subscription", "too large"])
def test_a_connection_that_fails_is_replaced(scripted: Any, how: str) -> None:
    async def failing(link: Any) -> None:
        if how == "refused subscription":
            await link.heard()
            await link.send('{"code":2,"msg":"Invalid request","id":1}')
            await link.gone()
            return
        await link.subscribed()
        await link.trade(1)
        if how == "reset":
            link.reset()
        elif how == "close 1012":
            await link.ws.close(code=1012)
        else:
            await link.send("x" * 5_000_000)
            await link.gone()

    async def good(link: Any) -> None:
        await link.subscribed()
        await link.trade(2, 3)
        await link.gone()

    async def scenario(heard: Heard) -> None:
        lost = how == "refused subscription"
        assert await heard.trades(2 if lost else 3) == ([2, 3] if lost else [1, 2, 3])

    exchange = scripted(failing, good)
    heard = play(scenario, exchange)
    reason = next(reason for state, _, reason in heard.states() if state == "down")
    assert reason.startswith(
        {
            "reset": "closed with 1006",
            "close 1012": "closed with 1012",
            "refused subscription": "refused: 2: Invalid request",
            "too large": "broken",
        }[how]
    )
    assert exchange.links[1].asked["id"] == 2
    assert [flaw.flaw for flaw in heard.flaws] == (["huge"] if how == "too large" else [])


def test_a_connection_that_is_never_granted_is_given_up(scripted: Any) -> None:
    async def mute(link: Any) -> None:
        await link.heard()
        await link.gone()

    async def good(link: Any) -> None:
        await link.subscribed()
        await link.trade(1)
        await link.gone()

    async def scenario(heard: Heard) -> None:
        await heard.trades(1)

    heard = play(scenario, scripted(mute, good), Patience(connect=0.2, pause=0.0))
    assert ("down", 1, "no answer") in heard.states()
    assert heard.resumed == 1


def test_a_peer_that_vanished_is_noticed(scripted: Any) -> None:
    async def vanishing(link: Any) -> None:
        await link.subscribed()
        await link.trade(1)
        await link.silence()

    async def good(link: Any) -> None:
        await link.subscribed()
        await link.trade(2)
        await link.gone()

    async def scenario(heard: Heard) -> None:
        assert await heard.trades(2) == [1, 2]

    heard = play(scenario, scripted(vanishing, good), Patience(quiet=0.05, pong=0.1))
    assert ("down", 1, "dead") in heard.states()


def test_a_quiet_peer_that_answers_pings_stays(scripted: Any) -> None:
    pings: list[bytes] = []

    async def quiet(link: Any) -> None:
        await link.subscribed()
        link.ws._autoping = False
        while len(pings) < 5:
            message = await link.ws.receive()
            assert message.type is aiohttp.WSMsgType.PING
            pings.append(message.data)
            await link.ws.pong(message.data)
        await link.trade(1)
        await link.gone()

    async def scenario(heard: Heard) -> None:
        await heard.trades(1)

    heard = play(scenario, scripted(quiet), Patience(quiet=0.02, pong=30.0))
    assert len(pings) == 5
    assert heard.states()[:-1] == [("connecting", 1, ""), ("up", 1, "")]


def test_a_ping_to_a_connection_that_has_just_broken_is_no_error(scripted: Any) -> None:
    """The loop was blocked, so the end of the connection and the time of a ping come together."""

    async def script(link: Any) -> None:
        await link.subscribed()
        await link.trade(link.number)
        await link.gone()

    async def scenario(heard: Heard) -> None:
        await heard.trades(1)
        (connection,) = heard.stream._sockets
        assert connection.ws is not None
        connection.ws.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        time.sleep(0.2)
        assert await heard.trades(2) == [1, 2]

    play(scenario, scripted(script), Patience(quiet=0.1, pong=5.0))


def test_the_server_s_pings_are_answered_with_their_payload(scripted: Any) -> None:
    pongs: list[bytes] = []

    async def script(link: Any) -> None:
        await link.subscribed()
        link.ws._autoping = False
        await link.ws.ping(b"1723161255343")
        pongs.append((await link.ws.receive()).data)
        await link.trade(1)
        await link.gone()

    async def scenario(heard: Heard) -> None:
        await heard.trades(1)

    play(scenario, scripted(script))
    assert pongs == [b"1723161255343"]


@pytest.mark.parametrize("why", ["age", "shutdown"])
def test_a_connection_is_replaced_before_it_is_closed(scripted: Any, why: str) -> None:
    second_asked = asyncio.Event()
    first_said_more = asyncio.Event()

    async def leaving(link: Any) -> None:
        await link.subscribed()
        await link.trade(1)
        if why == "shutdown":
            await link.send(
                '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1709596800000}}'
            )
        await second_asked.wait()
        await link.trade(2)
        first_said_more.set()
        await link.gone()

    async def fresh(link: Any) -> None:
        await link.heard()
        second_asked.set()
        await first_said_more.wait()
        await link.send('{"result":null,"id":2}')
        await link.trade(2, 3)
        await link.gone()

    async def scenario(heard: Heard) -> None:
        assert await heard.trades(4) == [1, 2, 2, 3]
        await heard.until(lambda: len(heard.states()) > 5)

    age = 0.2 if why == "age" else 3600.0
    # The age limit holds for the second connection too, which then is replaced by a third.
    heard = play(scenario, scripted(leaving, fresh), Patience(age=age, steady=0.0))
    assert heard.states()[:6] == [
        ("connecting", 1, ""),
        ("up", 1, ""),
        ("leaving", 1, why),
        ("connecting", 2, ""),
        ("up", 2, ""),
        ("down", 1, why),
    ]
    assert not [c for c in heard.changes if c.state == "waiting"]


def test_an_inbox_that_is_full_breaks_the_connection_and_loses_nothing_that_is_in_it(
    scripted: Any,
) -> None:
    async def flooding(link: Any) -> None:
        await link.subscribed()
        await link.trade(*range(1, 31))
        await link.gone()

    async def good(link: Any) -> None:
        await link.subscribed()
        await link.gone()

    async def scenario(heard: Heard) -> None:
        await heard.until(lambda: heard.stream.ended["overflow"] == 1 and heard.stream.up)
        items = heard.inbox.take()
        assert isinstance(items[0], Resumed)
        assert [i.trade_id for i in items if isinstance(i, Tick)] == list(range(1, 10))
        assert isinstance(items[-1], Resumed)

    play(scenario, scripted(flooding, good), room=10)


def test_garbage_is_counted_and_passed_over(scripted: Any) -> None:
    async def script(link: Any) -> None:
        await link.subscribed()
        for frame in ("", "pong", "[]", "{}", '{"e":"trade"}', "9" * (MAX_FRAME + 1), b"\x00\x01"):
            await link.send(frame)
        await link.trade(1)
        await link.gone()

    async def scenario(heard: Heard) -> None:
        assert await heard.trades(1) == [1]

    heard = play(scenario, scripted(script))
    assert heard.stream.flaws == {
        "empty": 1, "not_json": 1, "wrong_shape": 2, "unexpected": 2, "huge": 1,
    }  # fmt: skip
    assert len(heard.flaws) == 7
    assert len([s for s in heard.states() if s[0] == "connecting"]) == 1


def test_pauses_double_with_failures_in_a_row_and_end_with_a_steady_connection(
    scripted: Any,
) -> None:
    async def good(link: Any) -> None:
        await link.subscribed()
        await link.trade(link.number)
        if link.number < 3:
            link.reset()
        await link.gone()

    async def scenario(heard: Heard) -> None:
        await heard.trades(3)

    exchange = scripted(good)
    exchange.refuse = lambda number: web.Response(status=503) if number <= 6 else None
    heard = play(scenario, exchange, Patience(pause=0.001, longest_pause=0.004, steady=0.0))
    waits = [c.seconds for c in heard.changes if c.state == "waiting"]
    assert len(waits) == 5  # after the second failure and each further one, none later
    for wait, most in zip(waits, (0.001, 0.002, 0.004, 0.004, 0.004), strict=True):
        assert most / 2 <= wait <= most
    assert heard.stream.ended["refused with 503"] == 6


def test_the_exchange_says_how_long_to_wait(scripted: Any) -> None:
    async def good(link: Any) -> None:
        await link.subscribed()
        await link.trade(1)
        await link.gone()

    async def scenario(heard: Heard) -> None:
        await heard.trades(1)

    exchange = scripted(good)
    banned = web.Response(status=429, headers={"Retry-After": "1"})
    exchange.refuse = lambda number: banned if number == 1 else None
    heard = play(scenario, exchange)
    assert [c.seconds for c in heard.changes if c.state == "waiting"] == [1.0]


class Nowhere:
    """No server listens there."""

    ws_url = "ws://127.0.0.1:1/stream"

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


def test_a_server_that_is_not_there_is_tried_again() -> None:
    async def scenario(heard: Heard) -> None:
        await heard.until(lambda: heard.stream.ended["ClientConnectorError"] == 3)

    play(scenario, Nowhere())


def test_no_more_connections_are_opened_than_the_exchange_allows(scripted: Any) -> None:
    async def failing(link: Any) -> None:
        await link.subscribed()
        await link.trade(link.number)
        link.reset()

    async def scenario(heard: Heard) -> None:
        await heard.until(lambda: heard.changes[-1].state == "waiting")

    heard = play(scenario, scripted(failing), allowance=Allowance(4, 3600.0))
    assert len([s for s in heard.states() if s[0] == "connecting"]) == 4
    (wait,) = [c for c in heard.changes if c.state == "waiting"]
    assert 3500.0 < wait.seconds <= 3600.0


def test_the_allowance_is_a_sliding_window() -> None:
    allowance = Allowance(2, 10.0)
    allowance.take(0.0)
    allowance.take(4.0)
    assert allowance.wait(5.0) == 5.0
    assert allowance.wait(10.0) == 0.0
    allowance.take(10.0)
    assert allowance.wait(11.0) == 3.0


def test_an_error_of_ours_ends_the_stream_and_is_not_swallowed(
    scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(link: Any) -> None:
        await link.subscribed()
        await link.trade(1)
        await link.gone()

    def broken(item: Arrival) -> bool:
        raise RuntimeError("no room for errors")

    async def scenario(heard: Heard) -> None:
        monkeypatch.setattr(heard.inbox, "put", broken)
        await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        play(scenario, scripted(script))
    assert caught.group_contains(RuntimeError, match="no room for errors")
