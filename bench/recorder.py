"""What recording costs: frames a second, processor time and memory while it records, and what an
hour of a busy market takes on the disk, as it came and as it landed.

    .venv/bin/python bench/recorder.py /path/to/capture.gz [...]

The captures are in the layout of a segment (`<nanoseconds> <frame>`), such as those of hftbacktest
of Binance's BTCUSDT; `VOSTOK_SHARED` names where the tests have them. A server in this process
sends their frames over a WebSocket, again and again, to `vostok-live record` as it is, in a process
of its own: at a given rate, or as fast as it takes them. Then the captures are landed, and the days
of the book made, in this process.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import psutil
from aiohttp import web

from vostok_core.lake.store import Lake
from vostok_core.market.book_days import BOOK_VERSION, book_day, book_days
from vostok_core.project import Project, find_project
from vostok_live.recorder.landing import Landing, land_capture
from vostok_live.recorder.segment import lines, opened

NAME = "binance.spot.BTC-USDT"
SETTINGS = f"""
[recorder]
instruments = ["{NAME}"]
[instruments."{NAME}"]
tick = "trade"
price_tick = "0.01"
quantity_step = "0.00001"
"""
RATES: tuple[float, ...] = (150.0, 1_500.0, 0.0)
"""Frames a second; 0 for as fast as they are taken."""
SECONDS = 20.0
_BATCH = 0.01  # seconds between two batches of frames


class Player:
    """Sends frames to whoever subscribes.

    Args:
        frames: They.
        rate: Frames a second.
    """

    def __init__(self, frames: Sequence[bytes], rate: float) -> None:
        self._frames = [frame.decode() for frame in frames if frame.startswith(b'{"stream"')]
        self._snapshot = next(frame for frame in frames if frame.startswith(b'{"lastUpdateId"'))
        self._rate = rate
        self.sent = 0
        self.playing = False

    def app(self) -> web.Application:
        """Its doors."""
        app = web.Application()
        app.router.add_get("/stream", self._stream)
        app.router.add_get("/api/v3/depth", self._depth)
        app.router.add_get("/vostok/clock", self._clock)
        app.router.add_get("/api/v3/historicalTrades", self._nothing)
        return app

    async def _depth(self, _: web.Request) -> web.Response:
        return web.Response(body=self._snapshot, content_type="application/json")

    async def _clock(self, _: web.Request) -> web.Response:
        now = time.time_ns()
        return web.json_response({"wallNs": now, "marketUs": now // 1_000, "speed": 1.0})

    async def _nothing(self, _: web.Request) -> web.Response:
        return web.json_response([])

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        asked = await ws.receive_json()
        await ws.send_str(json.dumps({"result": None, "id": asked["id"]}))
        self.playing = True
        begun = time.perf_counter()
        try:
            while not ws.closed:
                due = self.sent + 500
                if self._rate:
                    due = int((time.perf_counter() - begun) * self._rate)
                while self.sent < due:
                    await ws.send_str(self._frames[self.sent % len(self._frames)])
                    self.sent += 1
                await asyncio.sleep(_BATCH if self._rate else 0)
        except ConnectionError:
            pass
        return ws


async def recording(folder: Path, frames: Sequence[bytes], rate: float) -> None:
    """Record for some seconds, and print what it took."""
    player = Player(frames, rate)
    runner = web.AppRunner(player.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vostok_live", "record", "--exchange", url,
        cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    watched = psutil.Process(process.pid)
    while not player.playing:
        await asyncio.sleep(0.05)
    await asyncio.sleep(2.0)
    heart = folder / "data_lake" / "recorder" / NAME / "heartbeat.json"
    before, told = watched.cpu_times(), json.loads(heart.read_text())
    begun = time.perf_counter()
    largest = 0
    while time.perf_counter() < begun + SECONDS:
        await asyncio.sleep(0.5)
        largest = max(largest, watched.memory_info().rss)
    spent = watched.cpu_times()
    now = json.loads(heart.read_text())
    took = (now["now_us"] - told["now_us"]) / 1e6
    frames_taken = sum(now["lines"].values()) - sum(told["lines"].values())
    cpu = spent.user + spent.system - before.user - before.system
    per_second = frames_taken / took
    print(
        f"{'as fast as it goes' if not rate else f'{rate:,.0f} frames/s':>20}: "
        f"{per_second:9,.0f} frames/s taken, {cpu / (time.perf_counter() - begun):5.1%} of a core, "
        f"{cpu / (time.perf_counter() - begun) / per_second * 1e6:5.0f} us a frame, "
        f"{largest / 2**20:4.0f} MiB, {(now['bytes'] - told['bytes']) / took / 1e6:6.2f} MB/s"
    )
    process.send_signal(signal.SIGKILL)
    await process.wait()
    await runner.cleanup()
    for path in (folder / "data_lake" / "recorder" / NAME).glob("*.frames"):
        path.unlink()


def size_of(lake: Lake, name: str, days: Sequence[date]) -> int:
    """Bytes of a table."""
    return sum(
        part.size
        for day in days
        if lake.exists(name, instrument=NAME, date=day)
        for part in lake.parts(name, instrument=NAME, date=day)
    )


def landing(project: Project, captures: Sequence[Path], seconds: float, raw: int) -> None:
    """Land the captures and make their days, and print what that took."""
    lake = project.open_lake()
    instrument = project.settings.instrument(NAME)
    before = resource.getrusage(resource.RUSAGE_SELF)
    begun = time.perf_counter()
    found: list[Landing] = [land_capture(lake, instrument, path) for path in captures]
    took = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_SELF)
    count = sum(each.lines for each in found)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"landing {count:,} lines: {took:.2f} s, {cpu:.2f} s of the processor, "
        f"{count / took:,.0f} lines/s, {after.ru_maxrss / 2**10:.0f} MiB at most"
    )
    days = book_days(lake, NAME)
    for day in days:
        begun = time.perf_counter()
        made, inputs = book_day(lake, NAME, day)
        for table, frame in made.items():
            lake.write(
                table, frame, code_version=BOOK_VERSION, inputs=inputs, instrument=NAME, date=day
            )
        rows = ", ".join(f"{frame.height:,} {table}" for table, frame in made.items())
        print(f"a day of the book, {day}: {rows}: {time.perf_counter() - begun:.2f} s")
    hour = 3_600.0 / seconds
    print(f"an hour of it: {raw * hour / 1e6:7.1f} MB of frames")
    for table in ("raw_trades", "raw_quotes", "raw_depth", "quotes", "depth"):
        size = size_of(lake, table, days)
        print(f"               {size * hour / 1e6:7.1f} MB of {table}")


def main(captures: Sequence[Path]) -> None:
    """Measure."""
    frames: list[bytes] = []
    seconds = 0.0
    raw = 0
    for path in captures:
        with opened(path) as file:
            found = [line for line in lines(file) if line is not None]
        frames += [text for _, text in found]
        raw += sum(len(text) + 21 for _, text in found)
        seconds += (found[-1][0] - found[0][0]) / 1e9
    print(f"{len(frames):,} frames of {seconds:.0f} s: {len(frames) / seconds:,.0f} a second")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "vostok.toml").write_text(SETTINGS)
        os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
        project: Any = find_project(folder, {})
        for rate in RATES:
            asyncio.run(recording(folder, frames, rate))
        landing(project, captures, seconds, raw)


if __name__ == "__main__":
    given = [Path(word) for word in sys.argv[1:]]
    if not given:
        shared = Path(os.environ["VOSTOK_SHARED"]) / "data" / "book" / "binance_ws_hftbacktest"
        given = sorted(shared.glob("*.gz"))
    main(given)
