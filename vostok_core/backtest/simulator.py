"""Drives the engine and a simulated venue through bars, decisions and prints in the order of time.

At equal times: a fill within the bar that ends, then timers, then the bar's close, then commands
that arrive, then prints. A print at a bar's end belongs to the next bar.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from vostok_core.backtest.venue import NEVER, Costs, Execution, SimulatedVenue
from vostok_core.errors import DataError
from vostok_core.lake.tables import TIME, table
from vostok_core.market.instrument import Instrument
from vostok_core.market.paths import PricePath
from vostok_core.times import DAY, HOUR
from vostok_core.trading.account import Account, closing_day
from vostok_core.trading.commands import Alert, Closed, Command, SetTimer
from vostok_core.trading.config import EngineConfig
from vostok_core.trading.engine import Engine
from vostok_core.trading.events import BarClosed, Decision, Event, Fill, Timer
from vostok_core.trading.rules import Rules

CODE_VERSION = "4"
"""Changes whenever a fill, or a number made of fills, changes."""

FILL_SCHEMA: dict[str, Any] = {
    "ts": TIME,
    "client_order_id": pl.String,
    "side": pl.String,
    "qty": pl.Float64,
    "price": pl.Float64,
    "fee": pl.Float64,
    "slippage": pl.Float64,
    "liquidity": pl.String,
    "ambiguous": pl.Boolean,
}


@dataclass(frozen=True)
class SimulationResult:
    """What came of a configuration on a path.

    Attributes:
        trades: Closed positions, by the table `backtest_trades`.
        equity: Equity at every full hour, by the table `backtest_equity`.
        daily: `date`, `net_return`, `benchmark_return`, `trades` and `observed` of every UTC day,
            by the table `trials`; a day without bars has a return of 0, and none of it was
            observed; what ends at midnight, bar or trade, belongs to the day it closes.
        fills: `ts`, `client_order_id`, `side`, `qty`, `price`, `fee`, `slippage`, `liquidity`,
            `ambiguous`; slippage in quote, fees in quote.
        halts: When and why the engine stopped trading until a person acts, by the table
            `backtest_halts`. Nobody acts in a simulation, so nothing is opened after the first.
        counts: Decisions taken and passed over, by reason; `open`: 1 when a position was open at
            the end, which is marked and not closed; `alerts`; `ambiguous` exits.
        alerts: What the engine would have told a person.
        initial_cash: In quote.
    """

    trades: pl.DataFrame
    equity: pl.DataFrame
    daily: pl.DataFrame
    fills: pl.DataFrame
    halts: pl.DataFrame
    counts: dict[str, int]
    alerts: list[Alert]
    initial_cash: float


@dataclass
class _Run:
    """What is written down while a simulation goes on."""

    engine: Engine
    venue: SimulatedVenue
    timers: list[int] = field(default_factory=list)
    closed: list[tuple[Closed, int]] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    balances: list[tuple[int, int, int]] = field(default_factory=list)
    halts: list[tuple[int, str]] = field(default_factory=list)
    slippage: int = 0

    def tell(self, event: Event) -> None:
        """Hand an event to the engine and carry out what it asks for."""
        commands = self.engine.handle(event)
        if commands:
            self._note_halt(event.ts)
            self._carry_out(commands, event.ts)

    def _note_halt(self, now: int) -> None:
        """Note when the engine stops trading; it says so by an alert, so by a command."""
        reason = self.engine.halted
        if reason is not None and (not self.halts or self.halts[-1][1] != reason):
            self.halts.append((now, reason))

    def _carry_out(self, commands: list[Command], now: int) -> None:
        for command in commands:
            if isinstance(command, SetTimer):
                heapq.heappush(self.timers, max(command.ts, now))
            elif isinstance(command, Alert):
                self.alerts.append(command)
            elif isinstance(command, Closed):
                self.closed.append((command, self.slippage))
                self.slippage = 0
            else:
                self.venue.send(command, now)

    def fill(self, limit: int) -> bool:
        """Let the next fill happen, if it comes before whatever else is due at `limit`."""
        scheduled = self.venue.peek(limit)
        if scheduled is None or not (scheduled.ts < limit or scheduled.early):
            return False
        for news in self.venue.execute(scheduled):
            if isinstance(news, Fill):
                self.slippage += self.venue.executions[-1].slippage
                self.tell(news)
                account = self.engine.account
                self.balances.append((news.ts, account.cash, account.position + account.dust))
            else:
                self.tell(news)
        return True


def simulate(
    config: EngineConfig,
    instrument: Instrument,
    decisions: pl.DataFrame,
    bars: pl.DataFrame,
    path: PricePath | Iterable[PricePath],
    costs: Costs,
    initial_cash: Decimal | float = 100_000.0,
    *,
    interval_us: int,
) -> SimulationResult:
    """Trade predictions on a price path with the engine that trades live.

    Args:
        config: What the engine is told.
        instrument: What is traded.
        decisions: Rows of the table `predictions`, in time order: `ts`, `probability`,
            `threshold`, `sigma`, `reference`, `valid`.
        bars: `ts`, `close`, `valid`, in time order; every bar is heard by the engine. A decision
            without a bar brings its own close, its `reference`.
        path: Prints or bars, or several of them one after the other (one a day, say); only one is
            held at a time. Two paths must not share a time.
        costs: What trading costs.
        initial_cash: In quote.
        interval_us: Length of a bar, microseconds: says how many a whole day has.

    Returns:
        The result. The simulation ends at the last bar; an open position is marked there. Returns
        and equity are marked at bars only.

    Raises:
        FillBeforeOrder: The path filled an order before it arrived. Nothing was returned.
        DataError: There is no bar, or bars or decisions are not in time order.

    Time is linear in bars plus prints, memory in bars plus one path.
    """
    rules = Rules.of(instrument)
    cash = rules.atoms(initial_cash)
    paths = [path] if isinstance(path, PricePath) else path
    run = _Run(Engine(config, rules, Account.opening(cash)), SimulatedVenue(rules, costs, paths))
    _drive(run, _bar_events(_heard(bars, decisions), rules))
    return _result(run, rules, bars, costs, cash, interval_us)


def _drive(run: _Run, events: list[BarClosed]) -> None:
    """Everything that happens up to the last bar, in the order of time."""
    venue, timers = run.venue, run.timers
    end = events[-1].ts
    upcoming = iter(events)
    bar = next(upcoming, None)
    while True:
        bar_ts = NEVER if bar is None else bar.ts
        timer_ts = timers[0] if timers else NEVER
        now = min(bar_ts, timer_ts, venue.next_arrival, end + 1)
        if run.fill(now):
            continue
        if now > end:
            return
        if timer_ts == now:
            heapq.heappop(timers)
            run.tell(Timer(now))
        elif bar is not None and bar_ts == now:
            run.tell(bar)
            bar = next(upcoming, None)
        else:
            for news in venue.arrive():
                run.tell(news)


def _heard(bars: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    """What the engine hears of, by time, up to the last bar.

    Bars with the columns of the decision at them, or nulls; and decisions at a time without a bar,
    such as the first midnight of a path, whose bar belongs to the day before.
    """
    if bars.is_empty():
        raise DataError("there is no bar to simulate on", hint="materialize the bars first")
    for name, frame in (("bars", bars), ("decisions", decisions)):
        if not frame["ts"].is_sorted() or frame["ts"].n_unique() < frame.height:
            raise DataError(
                f"the {name} are not in time order, each time once",
                hint="sort them by ts, and drop duplicates",
            )
    said = decisions.select(
        "ts", "probability", "threshold", "sigma", "reference", pl.col("valid").alias("decidable")
    )
    return (
        bars.select("ts", "close", "valid")
        .join(said, on="ts", how="full", coalesce=True)
        .filter(pl.col("ts") <= bars["ts"][-1])
        .sort("ts")
        .with_columns(
            pl.col("close").fill_null(pl.col("reference")),
            pl.col("valid").fill_null(pl.col("decidable"))
            & pl.col("decidable").fill_null(value=True),
        )
    )


def _bar_events(heard: pl.DataFrame, rules: Rules) -> list[BarClosed]:
    events = []
    said = (heard[name].to_list() for name in ("probability", "threshold", "sigma", "reference"))
    for ts, close, valid, probability, threshold, sigma, reference in zip(
        heard["ts"].to_physical().to_list(),
        heard["close"].to_list(),
        heard["valid"].to_list(),
        *said,
        strict=True,
    ):
        decision = (
            None if probability is None else Decision(probability, threshold, sigma, reference)
        )
        events.append(BarClosed(ts, rules.ticks(close), valid, decision))
    return events


def _result(
    run: _Run, rules: Rules, bars: pl.DataFrame, costs: Costs, cash: int, interval_us: int
) -> SimulationResult:
    trades = trades_frame(run.closed, rules)
    ts = bars["ts"].to_physical().to_numpy()
    close = bars["close"].to_numpy()
    since = np.array([-1] + [b[0] for b in run.balances])
    held_cash = np.array([rules.money(a) for a in [cash] + [b[1] for b in run.balances]])
    held = np.array([rules.quantity(q) for q in [0] + [b[2] for b in run.balances]])
    at = np.searchsorted(since, ts, side="right") - 1
    equity = held_cash[at] + held[at] * close
    start = rules.money(cash)
    benchmark = _benchmark(close, rules, costs, cash)
    counts = dict(run.engine.counts)
    counts["open"] = int(run.engine.account.position > 0)
    counts["alerts"] = len(run.alerts)
    counts["ambiguous"] = sum(e.ambiguous for e in run.venue.executions)
    return SimulationResult(
        trades=trades,
        equity=_hourly(ts, equity, benchmark, held[at]),
        daily=_daily(ts, equity, benchmark, start, trades).with_columns(
            observed=_observed(ts, bars["valid"].to_numpy(), interval_us)
        ),
        fills=_fills(run.venue.executions, rules),
        halts=_frame(run.halts, table("backtest_halts").schema),
        counts=counts,
        alerts=run.alerts,
        initial_cash=start,
    )


def _benchmark(close: np.ndarray, rules: Rules, costs: Costs, cash: int) -> np.ndarray:
    """Worth of all cash put into the instrument at the first close, at the taker fee."""
    start = rules.money(cash)
    quantity = start / (close[0] * (1 + costs.taker_fee_bps / 10_000))
    worth: np.ndarray = quantity * close
    return worth


def _last_of(bucket: np.ndarray, buckets: np.ndarray) -> np.ndarray:
    """Index of the last mark at or before each bucket."""
    return np.searchsorted(bucket, buckets, side="right") - 1


def _hourly(
    ts: np.ndarray, equity: np.ndarray, benchmark: np.ndarray, held: np.ndarray
) -> pl.DataFrame:
    """Marks at every full hour from the first bar's on, each as of the last bar before it."""
    ends = -(-ts // HOUR)
    hours = np.arange(ends[0], ends[-1] + 1)
    at = _last_of(ends, hours)
    return pl.DataFrame(
        {
            "ts": pl.Series(hours * HOUR).cast(TIME),
            "equity": equity[at],
            "benchmark": benchmark[at],
            "position": held[at],
        }
    )


def _daily(
    ts: np.ndarray, equity: np.ndarray, benchmark: np.ndarray, start: float, trades: pl.DataFrame
) -> pl.DataFrame:
    day = closing_day(ts)
    days = np.arange(day[0], day[-1] + 1)
    at = _last_of(day, days)
    ended = closing_day(trades["exit_ts"].to_physical().to_numpy())
    return pl.DataFrame(
        {
            "date": pl.Series(days.astype(np.int32)).cast(pl.Date),
            "net_return": _returns(equity[at], start),
            "benchmark_return": _returns(benchmark[at], start),
            "trades": np.bincount(ended - days[0], minlength=days.size)[: days.size].astype(
                np.int64
            ),
        }
    )


def _observed(ts: np.ndarray, valid: np.ndarray, interval_us: int) -> np.ndarray:
    """Share of each day's bars that are valid, of as many as a whole day has."""
    day = closing_day(ts)
    seen = np.bincount((day - day[0])[valid], minlength=int(day[-1] - day[0]) + 1)
    share: np.ndarray = np.minimum(seen * interval_us / DAY, 1.0)
    return share


def _returns(worth: np.ndarray, start: float) -> np.ndarray:
    before = np.concatenate([[start], worth[:-1]])
    returns: np.ndarray = worth / before - 1.0
    return returns


def trades_frame(closed: Sequence[tuple[Closed, int]], rules: Rules) -> pl.DataFrame:
    """Closed positions with the slippage that was assumed for each (atoms), by the table
    `backtest_trades`."""
    rows = []
    for report, slippage in closed:
        pnl = report.proceeds + report.dust_worth - report.cost - report.fees
        out, worth = (
            (report.sold, report.proceeds) if report.sold else (report.dust, report.dust_worth)
        )
        rows.append(
            (
                report.decision_ts,
                report.entry_ts,
                rules.average(report.cost, report.bought),
                report.exit_ts,
                rules.average(worth, out),
                rules.quantity(report.bought),
                report.reason,
                report.probability,
                rules.money(report.fees),
                rules.money(slippage),
                rules.money(pnl),
                pnl / report.cost,
            )
        )
    return _frame(rows, table("backtest_trades").schema)


def _fills(executions: list[Execution], rules: Rules) -> pl.DataFrame:
    rows = [
        (
            e.fill.ts,
            e.fill.client_order_id,
            "buy" if e.fill.client_order_id.endswith("-e") else "sell",
            rules.quantity(e.fill.qty),
            rules.price(e.fill.price),
            rules.money(e.fill.fee),
            rules.money(e.slippage),
            e.fill.liquidity,
            e.ambiguous,
        )
        for e in executions
    ]
    return _frame(rows, FILL_SCHEMA)


def _frame(rows: Sequence[tuple[Any, ...]], schema: dict[str, Any]) -> pl.DataFrame:
    """Rows as a frame; times are given in microseconds."""
    physical = {name: pl.Int64 if dtype == TIME else dtype for name, dtype in schema.items()}
    times = [pl.col(name).cast(TIME) for name, dtype in schema.items() if dtype == TIME]
    return pl.DataFrame(rows, schema=physical, orient="row").with_columns(times)
