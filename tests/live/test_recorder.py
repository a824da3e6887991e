"""What a recorder lands is what the exchange says, whatever becomes of its connections."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from aiohttp import web

from tests.live.recorder_project import ABC, QUICK, XYZ, land, make_project, recorder
from tests.live.recorder_world import SPEED, Truth, check_book, check_trades, exchange, until
from vostok_core.lake.recorder_folder import is_held, open_days, read_heartbeat, segments
from vostok_core.project import Project
from vostok_core.times import HOUR, SECOND
from vostok_exchange.protocol.sockets import Patience as Lasting
from vostok_exchange.server import Server
from vostok_live.feed.connection import Patience
from vostok_live.recorder.errors import RecorderTaken
from vostok_live.recorder.recorder import Recorder, Timing
from vostok_live.seams import real_seams

STEADY = Patience(steady=0.0, pause=0.01, longest_pause=0.05)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)


def play(
    project: Project,
    scenario: Callable[[Server, Recorder, asyncio.Task[None]], Awaitable[None]],
    *,
    speed: float = SPEED,
    patience: Patience = STEADY,
    **options: Any,
) -> dict[str, Truth]:
    """Record an exchange while a scenario goes on; then stop in order and land all."""

    async def run() -> dict[str, Truth]:
        async with exchange(project, project.root / "exchange", speed, **options) as found:
            server, truths = found
            recording = recorder(project, server.url, patience=patience)
            task = asyncio.ensure_future(recording.run())
            try:
                await scenario(server, recording, task)
            finally:
                recording.stop()
                await asyncio.wait_for(task, 30)
        return truths

    truths = asyncio.run(asyncio.wait_for(run(), 120))
    land(project)
    assert not segments(project.recorder_folder / ABC)
    return truths


def recorded(recording: Recorder, symbol: str, kind: str) -> int:
    each = recording.recordings.get(symbol)
    return 0 if each is None else each.counts[kind]


def rows(project: Project, name: str, kind: str) -> pl.DataFrame:
    lake = project.open_lake()
    days = lake.days("recordings", instrument=name)
    frames = [lake.read("recordings", instrument=name, date=day) for day in days]
    return pl.concat(frames).filter(pl.col("kind") == kind).sort("ts")


@pytest.mark.long
def test_several_hours_of_two_instruments_land_as_the_exchange_said_them(project: Project) -> None:
    async def scenario(server: Server, recording: Recorder, task: asyncio.Task[None]) -> None:
        begin = server.exchange.now()
        await until(lambda: server.exchange.now() > begin + 4 * HOUR, task, seconds=90)
        assert len(segments(project.recorder_folder / ABC)) <= 2, "hours land as they go by"
        beat = read_heartbeat(project.recorder_folder / ABC)
        assert beat is not None
        assert beat["state"] == "recording"
        assert beat["whole"]
        assert is_held(project.recorder_folder / ABC)

    truths = play(project, scenario, speed=4 * SPEED)
    lake = project.open_lake()
    for name in (ABC, XYZ):
        check_trades(lake, truths[name])
        quality = check_book(lake, truths[name])
        # From the first connection to the end, over midnight, nobody looked away.
        inner = quality.filter(pl.col("kind") == "uncovered")
        assert inner.height == 2, "before it began, and after it ended"
        assert quality.filter(pl.col("kind") == "sequence").is_empty()
        hours = rows(project, name, "covered")["segment"].n_unique()
        assert hours >= 4
        assert rows(project, name, "clock").height >= hours
        assert rows(project, name, "seam").is_empty()
    beat = read_heartbeat(project.recorder_folder / ABC)
    assert beat is not None
    assert beat["state"] == "stopped"
    assert not is_held(project.recorder_folder / ABC)


def test_connections_that_are_ended_in_good_order_leave_no_break(project: Project) -> None:
    """The disconnect of every 24 hours, a second long here: it is announced."""

    async def scenario(server: Server, recording: Recorder, task: asyncio.Task[None]) -> None:
        await until(lambda: recorded(recording, "ABCUSDT", "trades") > 20, task)
        await until(lambda: _ended(recording, "shutdown") >= 3, task)

    lasting = Lasting(age=1.0, notice=0.7)
    truths = play(project, scenario, streams=lasting)
    lake = project.open_lake()
    for name in (ABC, XYZ):
        check_trades(lake, truths[name])
        quality = check_book(lake, truths[name])
        assert quality.filter(pl.col("kind") == "sequence").is_empty()
        assert quality.filter(pl.col("kind") == "uncovered").height == 2


def _ended(recording: Recorder, reason: str) -> int:
    stream = recording.streams[0] if recording.streams else None
    return 0 if stream is None else stream.ended[reason]


def test_connections_that_break_leave_breaks_that_are_known_and_no_trade_is_lost(
    project: Project,
) -> None:
    broken = 0

    async def scenario(server: Server, recording: Recorder, task: asyncio.Task[None]) -> None:
        nonlocal broken
        for _ in range(3):
            seen = recorded(recording, "ABCUSDT", "trades")
            await until(lambda seen=seen: recorded(recording, "ABCUSDT", "trades") > seen + 5, task)
            for listener in list(server._streams.connections):
                broken += 1
                listener.socket._drop("a test says so")

    # A pause of the wall is minutes of the market: trades are missed.
    patience = Patience(steady=1e9, pause=0.4, longest_pause=0.4)
    truths = play(project, scenario, patience=patience)
    assert broken == 3
    lake = project.open_lake()
    for name in (ABC, XYZ):
        check_trades(lake, truths[name])
        assert rows(project, name, "seam")["count"].sum() > 0
        book = check_book(lake, truths[name])
        uncovered = book.filter(pl.col("kind") == "uncovered")
        assert uncovered.height >= 3
        assert uncovered["detail"].str.contains("closed with 1006").sum() >= 2


@pytest.mark.long
def test_an_exchange_that_was_away_is_waited_for_and_its_trades_are_fetched(
    project: Project,
) -> None:
    async def run() -> dict[str, Truth]:
        folder = project.root / "exchange"
        async with exchange(project, folder, port=0) as (server, truths):
            port = int(server.url.rpartition(":")[2])
            recording = recorder(project, server.url, patience=STEADY)
            task = asyncio.ensure_future(recording.run())
            await until(lambda: recorded(recording, "XYZUSDT", "trades") > 20, task)
        await until(lambda: not recording.recordings["XYZUSDT"].up, task)
        await asyncio.sleep(0.3)
        async with exchange(project, folder, port=port) as (server, later):
            seen = recorded(recording, "XYZUSDT", "trades")
            await until(lambda: recorded(recording, "XYZUSDT", "trades") > seen + 20, task)
            await until(lambda: recording.recordings["XYZUSDT"].missed.continuity.whole, task)
            recording.stop()
            await task
        for name, truth in later.items():
            truths[name].trades |= truth.trades
        return truths

    truths = asyncio.run(asyncio.wait_for(run(), 120))
    land(project)
    for name in (ABC, XYZ):
        check_trades(project.open_lake(), truths[name])


def test_an_exchange_that_comes_later_is_waited_for_and_its_time_is_told_then(
    project: Project, unused_port: int
) -> None:
    """Until then the wall's hour is all that is known; the market's is long ago."""

    async def run() -> dict[str, Truth]:
        recording = recorder(project, f"http://127.0.0.1:{unused_port}", patience=STEADY)
        task = asyncio.ensure_future(recording.run())
        folder = project.recorder_folder / ABC
        await until(lambda: bool(segments(folder)), task)
        assert open_days(folder).isdisjoint({date(2025, 3, 31), date(2025, 4, 1)})
        async with exchange(project, project.root / "exchange", port=unused_port) as (_, truths):
            await until(lambda: recorded(recording, "ABCUSDT", "trades") > 20, task)
            await until(lambda: date(2025, 3, 31) in open_days(folder), task)
            recording.stop()
            await task
        return truths

    truths = asyncio.run(asyncio.wait_for(run(), 60))
    land(project)
    for name in (ABC, XYZ):
        check_trades(project.open_lake(), truths[name])
        check_book(project.open_lake(), truths[name])


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


def test_a_second_recorder_of_an_instrument_is_refused(project: Project) -> None:
    async def scenario(server: Server, recording: Recorder, task: asyncio.Task[None]) -> None:
        await until(lambda: recorded(recording, "ABCUSDT", "trades") > 0, task)
        with pytest.raises(RecorderTaken, match="is being recorded by process"):
            await recorder(project, server.url).run()
        await until(lambda: recorded(recording, "ABCUSDT", "trades") > 5, task)

    play(project, scenario)


# An exchange that plays a script


class Answers:
    """What REST says of a scripted exchange: trades by id, a book, the time."""

    def __init__(self) -> None:
        self.book = 0
        self.failing = 0
        self.status = 500
        self.asked = 0

    def __call__(self, request: web.Request) -> web.Response | None:
        self.asked += 1
        if self.failing > 0:
            self.failing -= 1
            headers = {"Retry-After": "0"}
            return web.Response(status=self.status, text="<html>no</html>", headers=headers)
        if request.path == "/api/v3/depth":
            levels = {"bids": [["99.00", "1.000"]], "asks": [["101.00", "1.000"]]}
            return web.json_response({"lastUpdateId": self.book, **levels})
        if request.path == "/vostok/clock":
            import time

            now = time.time_ns()
            return web.json_response({"wallNs": now, "marketUs": now // 1_000, "speed": 1.0})
        return None


def depth(first: int, last: int) -> str:
    data = {
        "e": "depthUpdate", "E": 1_709_596_800_000, "s": "ABCUSDT", "U": first, "u": last,
        "b": [["99.00", "2.000"]], "a": [],
    }  # fmt: skip
    return json.dumps({"stream": "abcusdt@depth@100ms", "data": data})


def scripted_play(
    project: Project,
    server: Any,
    scenario: Callable[[Recorder, asyncio.Task[None]], Awaitable[None]],
    timing: Timing = QUICK,
    patience: Patience = STEADY,
) -> Recorder:
    """Record the first instrument from an exchange that plays a script."""
    from vostok_live.recorder.plan import make_plan

    async def run() -> Recorder:
        async with server:
            plan = make_plan(project, [ABC], server.url)

            async def land_later(_: object) -> str:
                return ""

            recording = Recorder(
                plan, real_seams(), land_later, version="test", timing=timing, patience=patience
            )
            task = asyncio.ensure_future(recording.run())
            try:
                await scenario(recording, task)
            finally:
                recording.stop()
                await asyncio.wait_for(task, 30)
            return recording

    found = asyncio.run(asyncio.wait_for(run(), 60))
    land(project)
    return found


def abc(link: Any) -> Callable[..., Awaitable[None]]:
    """Sends aggregate trades of the symbol."""

    async def send(*ids: int) -> None:
        for i in ids:
            data = {
                "e": "aggTrade", "E": 1_709_596_800_000 + 1_000 * i, "s": "ABCUSDT", "a": i,
                "p": "10.00", "q": "1.00000000", "f": 5 * i, "l": 5 * i + 4,
                "T": 1_709_596_800_000 + 1_000 * i, "m": i % 3 == 0, "M": True,
            }  # fmt: skip
            await link.send(json.dumps({"stream": "abcusdt@aggTrade", "data": data}))

    return send


def landed_ids(project: Project) -> list[int]:
    lake = project.open_lake()
    days = lake.days("raw_trades", instrument=ABC)
    frames = [lake.read("raw_trades", instrument=ABC, date=day) for day in days]
    return sorted(pl.concat(frames)["trade_id"].to_list())


def test_it_asks_for_trades_best_prices_and_depth_on_one_connection(
    project: Project, scripted: Any
) -> None:
    async def script(link: Any) -> None:
        await link.subscribed()
        await abc(link)(1)
        await link.gone()

    server = scripted(script)
    server.rest = Answers()

    async def scenario(recording: Recorder, task: asyncio.Task[None]) -> None:
        await until(lambda: recorded(recording, "ABCUSDT", "trades") == 1, task)

    scripted_play(project, server, scenario)
    (link,) = server.links
    assert link.asked["params"] == ["abcusdt@aggTrade", "abcusdt@bookTicker", "abcusdt@depth@100ms"]
    assert link.query == {"timeUnit": "MICROSECOND"}


def test_a_hole_in_the_ids_is_filled_while_the_stream_goes_on(
    project: Project, scripted: Any, agg_trade: Callable[..., dict[str, Any]]
) -> None:
    """Also where REST fails at first, in each of the ways that it can."""

    async def script(link: Any) -> None:
        await link.subscribed()
        await abc(link)(1, 2, 6, 7)
        await link.gone()

    server = scripted(script)
    server.trades = [agg_trade(i) for i in range(1, 8)]
    server.rest = answers = Answers()

    async def scenario(recording: Recorder, task: asyncio.Task[None]) -> None:
        await until(lambda: recorded(recording, "ABCUSDT", "trades") == 4, task)
        await until(lambda: recording.recordings["ABCUSDT"].missed.continuity.whole, task)

    for failing, status in ((0, 200), (2, 503), (2, 429), (3, 418)):
        answers.failing, answers.status = failing, status
        found = scripted_play(project, server, scenario)
        assert found.recordings["ABCUSDT"].missed.fetched == 3
        assert landed_ids(project) == [1, 2, 3, 4, 5, 6, 7]
        seams = rows(project, ABC, "seam")
        assert seams["detail"].to_list() == ["trades 3 to 5"]
        for part in (project.lake_root / "raw_trades").rglob("*.parquet"):
            part.unlink()
        for part in (project.lake_root / "recordings").rglob("*.parquet"):
            part.unlink()
        (project.recorder_folder / ABC / "heartbeat.json").unlink()


def test_trades_that_the_exchange_never_gives_are_said_to_be_missing(
    project: Project, scripted: Any
) -> None:
    async def script(link: Any) -> None:
        await link.subscribed()
        await abc(link)(1, 4, 5)
        await link.gone()

    server = scripted(script)
    server.rest = Answers()

    async def scenario(recording: Recorder, task: asyncio.Task[None]) -> None:
        await until(lambda: recorded(recording, "ABCUSDT", "trades") == 3, task)
        await until(lambda: recording.recordings["ABCUSDT"].missed.continuity.whole, task)

    timing = Timing(sync=0.05, beat=0.1, give_up=0.3)
    found = scripted_play(project, server, scenario, timing)
    assert found.recordings["ABCUSDT"].missed.continuity.counts["lost"] == 2
    (detail,) = rows(project, ABC, "skipped")["detail"]
    assert detail.startswith("trades from 2 to 3 are not fetched")
    assert landed_ids(project) == [1, 4, 5]


def test_a_break_of_the_depth_fetches_a_snapshot_until_one_is_new_enough(
    project: Project, scripted: Any
) -> None:
    server_answers = Answers()

    async def script(link: Any) -> None:
        await link.subscribed()
        await link.send(depth(1, 3))
        await link.send(depth(4, 6))
        await asyncio.sleep(0.2)
        await link.send(depth(10, 12))
        await link.gone()

    server = scripted(script)
    server.rest = server_answers
    server_answers.book = 2

    async def scenario(recording: Recorder, task: asyncio.Task[None]) -> None:
        await until(lambda: recorded(recording, "ABCUSDT", "depth") == 3, task)
        each = recording.recordings["ABCUSDT"]
        await until(lambda: each.book.snapshots >= 3, task)
        assert each.book.wants(), "the snapshots are from before the break"
        server_answers.book = 11
        await until(lambda: not each.book.wants(), task)
        asked = server_answers.asked
        await asyncio.sleep(0.5)
        assert each.book.breaks == 1
        assert server_answers.asked - asked <= 1

    scripted_play(project, server, scenario)
    lake = project.open_lake()
    (day,) = lake.days("raw_depth", instrument=ABC)[:1]
    changes = lake.read("raw_depth", instrument=ABC, date=day).filter(~pl.col("snapshot"))
    assert changes["last_id"].to_list() == [3, 6, 12]


def test_a_symbol_that_the_exchange_has_not_is_said(project: Project, scripted: Any) -> None:
    async def script(link: Any) -> None:
        await link.subscribed()
        await link.gone()

    def refuses(request: web.Request) -> web.Response:
        return web.json_response({"code": -1121, "msg": "Invalid symbol."}, status=400)

    server = scripted(script)
    server.rest = refuses

    async def scenario(recording: Recorder, task: asyncio.Task[None]) -> None:
        def trouble() -> str:
            beat = read_heartbeat(project.recorder_folder / ABC) or {}
            return beat.get("trouble") or ""

        await until(lambda: "Invalid symbol" in trouble(), task)

    scripted_play(project, server, scenario)


def test_a_segment_that_grows_large_is_over_before_its_hour(
    project: Project, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vostok_live.recorder.recording.LARGEST", 2_000)

    async def script(link: Any) -> None:
        await link.subscribed()
        for n in range(1, 50):
            await abc(link)(n)
            await asyncio.sleep(0.01)
        await link.gone()

    server = scripted(script)
    server.rest = Answers()

    async def scenario(recording: Recorder, task: asyncio.Task[None]) -> None:
        await until(lambda: recorded(recording, "ABCUSDT", "trades") == 49, task)
        assert len(segments(project.recorder_folder / ABC)) > 3

    scripted_play(project, server, scenario)
    assert landed_ids(project) == list(range(1, 50))


def test_half_a_frame_and_other_garbage_are_kept_and_counted_and_nothing_stops(
    project: Project, scripted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    garbage = [
        '{"stream":"abcusdt@aggTrade","data":{"e":"aggTrade","E":17095968',
        '{"stream":"xyzusdt@trade","data":{"e":"trade"}}',
        "pong", "", "[]", "line\nbreak", "9" * 70_000,
    ]  # fmt: skip

    async def script(link: Any) -> None:
        await link.subscribed()
        await abc(link)(1)
        for frame in (*garbage, b"\x00\x01"):
            await link.send(frame)
        await abc(link)(2)
        await link.gone()

    server = scripted(script)
    server.rest = Answers()

    async def scenario(recording: Recorder, task: asyncio.Task[None]) -> None:
        await until(lambda: recorded(recording, "ABCUSDT", "trades") == 2, task)

    with caplog.at_level(logging.WARNING):
        scripted_play(project, server, scenario)
    assert landed_ids(project) == [1, 2]
    (unusable,) = rows(project, ABC, "unusable").iter_rows(named=True)
    assert unusable["count"] == len(garbage)
    assert "half" not in unusable["detail"]
    assert len(server.links) == 1


def test_a_peer_that_vanished_is_noticed_and_the_span_ends_where_it_was_last_heard(
    project: Project, scripted: Any
) -> None:
    async def vanishing(link: Any) -> None:
        await link.subscribed()
        await abc(link)(1, 2)
        await link.silence()

    async def good(link: Any) -> None:
        await link.subscribed()
        await abc(link)(3)
        await link.gone()

    server = scripted(vanishing, good)
    server.rest = Answers()

    async def scenario(recording: Recorder, task: asyncio.Task[None]) -> None:
        await until(lambda: recorded(recording, "ABCUSDT", "trades") == 3, task)

    patience = Patience(quiet=0.2, pong=0.3, steady=0.0, pause=0.0)
    scripted_play(project, server, scenario, patience=patience)
    spans = rows(project, ABC, "covered")
    assert spans["detail"].to_list() == ["dead", "stopped"]
    assert (spans["end_ts"] - spans["ts"])[0].total_seconds() < 0.2
    assert (spans["ts"][1] - spans["end_ts"][0]).total_seconds() > 0.4


def test_a_quiet_peer_that_answers_pings_is_covered_all_the_time(
    project: Project, scripted: Any
) -> None:
    async def quiet(link: Any) -> None:
        await link.subscribed()
        await link.gone()

    server = scripted(quiet)
    server.rest = Answers()

    async def scenario(recording: Recorder, task: asyncio.Task[None]) -> None:
        await until(lambda: bool(recording.recordings), task)
        await until(lambda: recording.recordings["ABCUSDT"].up, task)
        await asyncio.sleep(0.5)

    patience = Patience(quiet=0.05, pong=0.3, steady=0.0, pause=0.0)
    scripted_play(project, server, scenario, patience=patience)
    (span,) = rows(project, ABC, "covered").iter_rows(named=True)
    assert (span["end_ts"] - span["ts"]).total_seconds() > 0.4
    assert len(server.links) == 1


def test_where_an_earlier_recording_ended_too_long_ago_it_begins_anew(
    project: Project, scripted: Any
) -> None:
    async def script(link: Any) -> None:
        await link.subscribed()
        await abc(link)(1_000)
        await link.gone()

    folder = project.recorder_folder / ABC
    folder.mkdir(parents=True)
    about = {"tick": "agg_trade", "exchange": "embedded"}
    long_ago = about | {"next_id": 5, "trade_ts": 1_000_000 * SECOND}
    (folder / "heartbeat.json").write_text(json.dumps(long_ago))
    server = scripted(script)
    server.rest = Answers()

    async def scenario(recording: Recorder, task: asyncio.Task[None]) -> None:
        await until(lambda: recorded(recording, "ABCUSDT", "trades") == 1, task)

    found = scripted_play(project, server, scenario)
    assert found.recordings["ABCUSDT"].progress.next_id == 1_001
    (detail,) = rows(project, ABC, "skipped")["detail"]
    assert "trades from 5 are not fetched: the newest before them is older than max_gap" in detail
