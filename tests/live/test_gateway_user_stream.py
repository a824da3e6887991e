"""The account's stream against the embedded exchange, cut off, silent, refused and spoilt."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.live.gateway_server import INSTRUMENT, KEY, Place, WrongClock, order, play, seams_with
from tests.live.gateway_server import session as new_session
from vostok_core.trading import commands as asked
from vostok_exchange.protocol import sockets
from vostok_live.feed.connection import Allowance, Change, Patience
from vostok_live.gateway.frames import Execution
from vostok_live.gateway.port import Accepted, GatewayError
from vostok_live.gateway.user_stream import UserStream

QUICK = Patience(connect=10.0, quiet=5.0, pong=5.0, steady=0.0, pause=0.01, longest_pause=0.05)


class Listener:
    """Hears a stream, and lets a test wait for what it hears."""

    def __init__(
        self, url: str, signer: Any, session: Any, seams: Any, *, patience: Patience = QUICK
    ) -> None:
        self.heard: list[Execution] = []
        self.changes: list[Change] = []
        self.catch_ups = 0
        self.failing = 0
        self._news = asyncio.Condition()
        self.stream = UserStream(
            url,
            KEY.key,
            signer,
            session=session,
            seams=seams,
            patience=patience,
            allowance=Allowance(),
            catch_up=self._catch_up,
            on_execution=self._hear,
            on_change=self._change,
        )
        self._told = asyncio.Event()

    def _hear(self, execution: Execution) -> None:
        self.heard.append(execution)
        self._told.set()

    def _change(self, change: Change) -> None:
        self.changes.append(change)
        self._told.set()

    async def _catch_up(self) -> None:
        self.catch_ups += 1
        self._told.set()
        if self.failing:
            self.failing -= 1
            raise GatewayError("no answer", hint="wait")

    async def until(self, what: Callable[[], bool]) -> None:
        """Wait until something is so."""
        while not what():
            self._told.clear()
            await self._told.wait()

    async def up(self, connection: int = 1) -> None:
        """Wait until it is caught up on a connection, or a later one."""
        await self.until(
            lambda: any(c.state == "up" and c.connection >= connection for c in self.changes)
        )

    @property
    def reasons(self) -> list[str]:
        """Why connections ended."""
        return [change.reason for change in self.changes if change.state == "down"]


@asynccontextmanager
async def listening(place: Place, **options: Any) -> Any:
    """A listener at a place, while it runs."""
    async with new_session(place.seams) as session:
        url = f"ws://127.0.0.1:{place.relay.port}/ws-api/v3"
        async with running(Listener(url, place.port, session, place.seams, **options)) as listener:
            yield listener


@asynccontextmanager
async def running(listener: Listener) -> Any:
    task = asyncio.create_task(listener.stream.run())
    try:
        yield listener
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert listener.stream.synced is False


def buy(name: str = "vlx-1-e") -> asked.Place:
    return asked.Place(order(name, "entry", 1_000, 11_000))


def test_what_happens_to_an_order_is_heard_as_the_answer_tells_it(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with listening(place) as listener:
            await listener.up()
            assert listener.stream.synced
            assert listener.catch_ups == 1
            outcome = await place.port.send(buy())
            assert isinstance(outcome, Accepted)
            trades = list(outcome.trades)
            await listener.until(lambda: len(listener.heard) == 1 + len(trades))
            first, *rest = listener.heard
            assert (first.order.status, first.trade) == ("NEW", None)
            assert first.symbol == INSTRUMENT.id.symbol
            assert [e.trade for e in rest] == [replace(t, source="stream") for t in trades]
            last = rest[-1].order
            (report,) = outcome.reports
            assert (last.client_order_id, last.status, last.filled) == (
                "vlx-1-e", report.status, report.filled
            )  # fmt: skip
            price = place.price
            await place.port.send(
                asked.PlaceList(
                    None,
                    order("vlx-2-t", "take_profit", 1_000, price + 500),
                    order("vlx-2-s", "stop_loss", 1_000, price - 500),
                )
            )
            await listener.until(lambda: len(listener.heard) == 3 + len(trades))
            listener.heard.clear()
            await place.port.send(asked.Cancel("vlx-2-s"))
            await listener.until(lambda: len(listener.heard) == 2)
            # By its own name, not by that of its cancel.
            assert {(e.order.client_order_id, e.order.status) for e in listener.heard} == {
                ("vlx-2-t", "CANCELED"), ("vlx-2-s", "CANCELED"),
            }  # fmt: skip

    play(tmp_path, scenario)


def test_each_connection_is_caught_up_before_it_counts(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with listening(place) as listener:
            await listener.up()
            listener.failing = 3
            place.relay.cut()
            await listener.until(lambda: listener.catch_ups == 4)
            assert not listener.stream.synced
            await listener.up(2)
            assert listener.catch_ups == 5
            assert listener.stream.synced

    play(tmp_path, scenario)


def test_a_peer_that_has_vanished_is_given_up(tmp_path: Path) -> None:
    patience = replace(QUICK, quiet=0.1, pong=0.1, connect=0.3)

    async def scenario(place: Place) -> None:
        async with listening(place, patience=patience) as listener:
            await listener.up()
            place.relay.mode = "hole"
            await listener.until(lambda: "dead" in listener.reasons)
            assert not listener.stream.synced
            await listener.until(lambda: "no answer" in listener.reasons)
            place.relay.mode = "pass"
            place.relay.cut()
            before = len(listener.changes)
            await listener.until(
                lambda: any(change.state == "up" for change in listener.changes[before:])
            )

    play(tmp_path, scenario)


def test_a_quiet_stream_is_pinged_and_stays(tmp_path: Path) -> None:
    patience = replace(QUICK, quiet=0.02, pong=600.0)

    async def scenario(place: Place) -> None:
        async with listening(place, patience=patience) as listener:
            await listener.up()
            passed = len(place.relay.requests)
            while len(place.relay.requests) < passed + 20:
                await asyncio.sleep(0.005)
            assert listener.reasons == []
            assert listener.stream.synced

    play(tmp_path, scenario)


def test_an_announced_end_is_not_waited_for(tmp_path: Path) -> None:
    api = sockets.Patience(messages=None, age=60.0, notice=59.7)

    async def scenario(place: Place) -> None:
        async with listening(place) as listener:
            await listener.until(lambda: "shutdown" in listener.reasons)
            await listener.up(2)

    play(tmp_path, scenario, api=api)


def test_a_clock_that_is_off_is_set_right_and_it_subscribes(tmp_path: Path) -> None:
    clock = WrongClock()

    async def scenario(place: Place) -> None:
        clock.off_ns = -3_600 * 10**9
        async with listening(place) as listener:
            await listener.up(2)
            assert "-1021" in listener.reasons[0]
            assert len(listener.reasons) == 1

    play(tmp_path, scenario, clock=clock)


def test_what_has_no_connection_is_tried_until_there_is_one(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        async with new_session(place.seams) as session:
            listener = Listener(
                "ws://127.0.0.1:1/ws-api/v3",
                place.port,
                session,
                place.seams,
                patience=replace(QUICK, steady=60.0),
            )
            async with running(listener):
                await listener.until(lambda: len(listener.reasons) == 4)
                assert all(r.startswith("broken: ClientConnector") for r in listener.reasons)
                assert any(c.state == "waiting" and c.seconds > 0 for c in listener.changes)

    play(tmp_path, scenario)


# What the embedded exchange never says


class Signer:
    """Signs with nothing."""

    def timestamp(self) -> int:
        return 1_760_000_000_000

    def sign(self, payload: str) -> str:
        assert payload == f"apiKey={KEY.key}&recvWindow=5000&timestamp=1760000000000"
        return "signed"

    async def server_time(self) -> int:
        raise AssertionError("nobody said that the time is wrong")


def scripted_play(
    scripted: Any,
    script: Callable[[Any], Awaitable[None]],
    test: Callable[[Any], Awaitable[None]],
    patience: Patience = QUICK,
) -> None:
    async def main() -> None:
        seams = seams_with()
        async with scripted(script) as exchange, new_session(seams) as session:
            listener = Listener(exchange.ws_url, Signer(), session, seams, patience=patience)
            async with running(listener):
                await test(listener)

    asyncio.run(asyncio.wait_for(main(), 30))


async def grant(link: Any) -> None:
    await link.heard()
    assert link.query == {"timeUnit": "MICROSECOND"}
    params = link.asked["params"]
    assert link.asked["method"] == "userDataStream.subscribe.signature"
    assert params["signature"] == "signed"
    await link.send(
        json.dumps({"id": link.asked["id"], "status": 200, "result": {"subscriptionId": 0}})
    )


@pytest.mark.parametrize("frame", ["{", "", "[]", '{"event": {"e": "executionReport"}}'])
def test_a_frame_that_cant_be_read_asks_for_a_catch_up(scripted: Any, frame: str) -> None:
    spoil = asyncio.Event()

    async def script(link: Any) -> None:
        await grant(link)
        await spoil.wait()
        await link.send(frame)
        await link.gone()

    async def test(listener: Listener) -> None:
        await listener.up()
        listener.changes.clear()
        spoil.set()
        await listener.up()
        assert listener.catch_ups == 2
        assert listener.reasons == []
        assert listener.stream.synced
        assert sum(listener.stream.flaws.values()) == 1

    scripted_play(scripted, script, test)


def test_a_subscription_that_ends_is_made_anew(scripted: Any) -> None:
    async def script(link: Any) -> None:
        await grant(link)
        if link.number == 1:
            event = {"e": "eventStreamTerminated", "E": 1_760_000_000_000_000}
            await link.send(json.dumps({"subscriptionId": 0, "event": event}))
        await link.gone()

    async def test(listener: Listener) -> None:
        await listener.up(2)
        assert listener.reasons == ["subscription ended"]

    scripted_play(scripted, script, test)


def test_a_subscription_without_an_answer_is_given_up_on_each_connection(scripted: Any) -> None:
    async def script(link: Any) -> None:
        if link.number == 2:
            await link.heard()
            await link.gone()
        await grant(link)
        if link.number == 1:
            link.reset()
        await link.gone()

    async def test(listener: Listener) -> None:
        await listener.up(3)
        assert listener.reasons[1] == "no answer"

    scripted_play(scripted, script, test, replace(QUICK, connect=1.0, quiet=0.1))


def test_a_subscription_that_is_refused_is_not_taken_for_granted(scripted: Any) -> None:
    async def script(link: Any) -> None:
        await link.heard()
        error = {"code": -2015, "msg": "Invalid API-key"}
        await link.send(json.dumps({"id": link.asked["id"], "status": 401, "error": error}))
        await link.gone()

    async def test(listener: Listener) -> None:
        await listener.until(lambda: len(listener.reasons) == 2)
        assert listener.reasons[0] == "refused: Invalid API-key (-2015)"
        assert listener.catch_ups == 0

    scripted_play(scripted, script, test)
