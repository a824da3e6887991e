"""A daemon as its operator sees it, made by hand: the values that the tests of `service` read."""

from __future__ import annotations

import math
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec

from vostok_core.trading.events import Action
from vostok_live.seams import real_seams
from vostok_live.service.announce import Address
from vostok_live.service.measures import Measures
from vostok_live.service.server import serving
from vostok_live.service.source import Pulse
from vostok_live.service.status import (
    AlertSeen,
    Bar,
    Decision,
    Decisions,
    Exchange,
    Journal,
    Latencies,
    Latency,
    Model,
    Money,
    OpenOrder,
    Point,
    Position,
    Prices,
    Reason,
    Sentiment,
    Status,
    Stream,
    Streams,
    Trade,
)

NOW = 1_784_673_065_250_000  # 2026-07-21 22:31:05.25 UTC
MINUTE = 60_000_000
NO_MODEL = Reason(
    "no_model", "no model is promoted", "promote one with `vostok walk-forward`, or wait for Monday"
)


def stream(**changes: object) -> Stream:
    """A stream that is well."""
    well = Stream(
        up=True, synced=True, last_message_age_s=0.12, connections=3, reconnects=2,
        ended={"age": 1, "broken": 1}, flaws={"not_json": 1}, gaps=4, given_up=1, lost=7,
    )  # fmt: skip
    return msgspec.structs.replace(well, **changes)


def held() -> Status:
    """A daemon that holds a position and is well."""
    ends = [NOW // MINUTE * MINUTE - (239 - n) * MINUTE for n in range(240)]
    closes = [50_000 + 220 * math.sin(n / 31) + 60 * math.sin(n / 5) + n * 0.8 for n in range(240)]
    said = [0.5 + 0.09 * math.sin(n / 17) + 0.03 * math.sin(n / 3) for n in range(240)]
    return Status(
        version="0.1.0", engine_version="3", pid=4242, run=17, run_name="r17",
        strategy="momentum", instrument="binance.spot.BTC-USDT",
        price_tick="0.01", quantity_step="0.00001", mode="paper",
        exchange=Exchange("http://127.0.0.1:8090", 3.5, 420, 6_000),
        started_us=NOW - 11_100_000_000, now_us=NOW, uptime_s=11_100.0,
        market_ts=NOW, market_speed=1.0, ready=True, reasons=(),
        state="holding", paused=False, killed=None,
        position=Position(
            qty=0.02012, entry_price=49_870.12, take_profit=50_400.0, stop_loss=49_610.5,
            covered=True, unrealised=4.4, probability=0.612, decision_ts=ends[-40],
            entry_ts=ends[-40] + 120_000, deadline_ts=NOW + 41 * MINUTE, leaving=None,
        ),
        orders=(
            OpenOrder("vlr17-31-t", "take_profit", "sell", "limit", "open", 0.02012, 0.0, 50_400.0),
            OpenOrder("vlr17-31-s", "stop_loss", "sell", "stop", "open", 0.02012, 0.0, 49_610.5),
        ),
        unknown_orders=0,
        money=Money(
            equity=10_123.45, cash=9_115.66, opening=10_000.0, realised=119.05, unrealised=4.4,
            fees=18.2, dust=0.00003, peak=10_210.0, drawdown=0.008477, drawdown_limit=0.5,
            day_pnl=31.7, day_loss=0.0, day_loss_limit=0.25, closed=12, wins=7,
        ),
        trades=tuple(
            Trade(
                entry_id=f"vlr17-{n}-e", decision_ts=ends[n * 20], entry_ts=ends[n * 20] + 90_000,
                exit_ts=ends[n * 20 + 15], reason=reason, probability=0.6, qty=0.02,
                entry_price=49_900.0, exit_price=49_900.0 + pnl * 50, fees=1.9, pnl=pnl,
            )
            for n, (reason, pnl) in enumerate(
                [("take_profit", 8.11), ("stop_loss", -5.02), ("time", 0.77), ("take_profit", 9.3)]
            )
        ),
        prices=Prices(
            last=50_088.77, last_ts=NOW - 90_000, bar=Bar(ends[-1], closes[-1], True), bars=185,
            interval_us=MINUTE, closes=tuple(map(Point, ends, closes)),
        ),
        decisions=Decisions(
            last=Decision(ends[-1], said[-1], 0.55, "busy"),
            counts={"busy": 40, "below_threshold": 130, "entries": 15},
            probabilities=tuple(map(Point, ends, said)),
        ),
        model=Model("a1b2c3d4" * 8, "2026-07-20", NOW - 2 * 86_400_000_000, 0.55, False),
        streams=Streams(market=stream(), user=stream(last_message_age_s=12.4, reconnects=0)),
        journal=Journal(12_345, 0.84, 48_000_000),
        latencies=Latencies(Latency(8.4, 41.0, 15), Latency(12.0, 48.5, 46)),
        loop_lag_ms=2.1,
        sentiment=Sentiment(42, 34.0),
        alerts=(
            AlertSeen(NOW - 4_000_000_000, "info", "started", "run 17 goes on from event 11,020"),
            AlertSeen(NOW - 1_500_000_000, "warning", "gap", "7 trades of the market are lost"),
            AlertSeen(NOW - 60_000_000, "critical", "fee_asset_low", "0.001 BNB is left for fees"),
        ),
    )  # fmt: skip


def flat(**changes: object) -> Status:
    """A daemon that has done nothing yet and waits for a model."""
    base = held()
    empty = msgspec.structs.replace(
        base, ready=False, reasons=(NO_MODEL,), state="flat", position=None, orders=(), trades=(),
        prices=Prices(None, None, None, 0, MINUTE, ()), decisions=Decisions(None, {}, ()),
        model=None, sentiment=None, alerts=(), latencies=Latencies(None, None),
        money=Money(
            equity=10_000.0, cash=10_000.0, opening=10_000.0, realised=0.0, unrealised=0.0,
            fees=0.0, dust=0.0, peak=10_000.0, drawdown=0.0, drawdown_limit=0.5, day_pnl=0.0,
            day_loss=0.0, day_loss_limit=0.25, closed=0, wins=0,
        ),
        streams=Streams(
            stream(up=False, synced=False, last_message_age_s=None, reconnects=0, ended={},
                   flaws={}, gaps=0, given_up=0, lost=0),
            stream(synced=False),
        ),
    )  # fmt: skip
    return msgspec.structs.replace(empty, **changes)


class Daemon:
    """A source whose answers the test chooses.

    Attributes:
        now: The status that it tells.
        asked: Controls that it was asked for, with who asked.
        failing: Why it does not live.
        on_control: Awaited by every control, after it was noted down.
    """

    def __init__(self, now: Status) -> None:
        self.now = now
        self.asked: list[tuple[Action, str]] = []
        self.failing: str | None = None
        self.on_control: Callable[[Action], Awaitable[None]] | None = None
        self._measures = Measures()

    @property
    def measures(self) -> Measures:
        return self._measures

    def status(self) -> Status:
        return self.now

    def pulse(self) -> Pulse:
        return Pulse(self.failing, 0.0021)

    async def control(self, action: Action, asked_by: str) -> None:
        self.asked.append((action, asked_by))
        if self.on_control is not None:
            await self.on_control(action)
        if action in ("pause", "resume"):
            self.now = msgspec.structs.replace(self.now, paused=action == "pause")


@asynccontextmanager
async def running(
    daemon: Daemon, state: Path, **options: object
) -> AsyncIterator[tuple[Address, aiohttp.ClientSession]]:
    """Serve it over a real socket; yields where, and a session that begins there."""
    seams = real_seams()
    async with (
        serving(daemon, state, seams.random, **options) as address,
        aiohttp.ClientSession(address.url, connector=seams.connector()) as session,
    ):
        yield address, session


def bearer(state: Path) -> dict[str, str]:
    """The header of a caller who knows the token."""
    return {"Authorization": f"Bearer {(state / 'control.token').read_text().strip()}"}


def mode(path: Path) -> int:
    """Permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)
