"""A small market that a daemon trades, from its lake to a shipped journal, made by the real parts.

The parts are the daemon's own: journal, bars, sentiment, chain, trader. What is left out is the way
there: trades and news come from arrays, and the exchange is the simulated venue.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from vostok_core.backtest.venue import NEVER, Costs, SimulatedVenue
from vostok_core.features.frames import feature_frames
from vostok_core.features.registry import pack
from vostok_core.labels.days import label_days
from vostok_core.labels.version import label_version
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TIME
from vostok_core.live.chain import DecisionChain
from vostok_core.live.cuts import ClosedBar, Cut, LiveBars, Ticks
from vostok_core.live.sentiment import LiveSentiment
from vostok_core.market.bars import day_bars
from vostok_core.market.days import CODE_VERSION
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.paths import tick_path
from vostok_core.market.quality import inspect
from vostok_core.market.ticks import LastTick, last_tick
from vostok_core.models.bundle import Bundle
from vostok_core.models.bundle_folder import write_bundle
from vostok_core.models.registry import bundle_path, keep
from vostok_core.sentiment.aggregate import sentiment_day
from vostok_core.sentiment.scorer import scorer, sentiment_version
from vostok_core.settings import Settings
from vostok_core.strategy import Strategy, StrategyFile
from vostok_core.times import DAY, MINUTE, SECOND, day_start
from vostok_core.times import days as each_day
from vostok_core.trading.account import Account
from vostok_core.trading.commands import Cancel, Place, PlaceList, Replace, requests
from vostok_core.trading.config import EngineConfig
from vostok_core.trading.engine import Engine
from vostok_core.trading.events import Control, Event, Fill, OrderUpdate, Timer
from vostok_core.trading.rules import Rules
from vostok_live.daemon.history import Retold, caught_up, lake_past
from vostok_live.daemon.model import Model
from vostok_live.daemon.trader import Trader
from vostok_live.gateway.port import Sendable
from vostok_live.journal.rows import Begins, RequestKind, RunStart, ScoredItem
from vostok_live.journal.writer import Journal
from vostok_live.news.rows import scores_frame, seen_frame
from vostok_live.seams import MarketTime, Seams, real_seams
from vostok_live.service.measures import Measures
from vostok_live.shipping import ship
from vostok_pipelines.training.train import train_week

NAME = "test.spot.AAA-USD"
FIRST, WEEK = date(2024, 2, 15), date(2024, 2, 26)
BEGIN = date(2024, 2, 29)
"""The first day that is traded; the lake ends with the day before."""
NEXT = date(2024, 3, 1)
"""The day after: the first of a month, whose features walk from another anchor."""
LAST = date(2024, 3, 2)
HOUR = 60 * MINUTE
INSTRUMENT = Instrument(
    InstrumentId.parse(NAME), "trade", Decimal("0.01"), Decimal("0.001"), Decimal(5), DAY
)
RULES = Rules.of(INSTRUMENT)
SCORER = scorer("lexicon")
_GRACE = SECOND
_KINDS: dict[type, RequestKind] = {
    Place: "place", PlaceList: "place_list", Cancel: "cancel", Replace: "replace",
}  # fmt: skip
_APART = 1_000 * DAY  # the wall's clock is ahead of the market's by so much
DECIDE_WITHIN = 5 * SECOND


def make_strategy() -> Strategy:
    content = {
        "description": "for tests",
        "instruments": (NAME,),
        "features": {"packs": ("core", "sentiment")},
        "events": {"kind": "cusum", "threshold": 3.0},
        "labels": {"volatility": "volatility_60", "horizon": "30m"},
        "costs": {"taker_fee_bps": 0.5, "maker_fee_bps": 0.5, "slippage_bps": 0.0},
        "model": {"train_weeks": 1, "min_labels": 100, "parameters": {"num_iterations": 20}},
    }
    return Strategy("tiny", StrategyFile.model_validate(content))


@dataclass(frozen=True)
class World:
    """A lake up to the day before `BEGIN`, the market's trades beyond, and two models.

    Attributes:
        lake: The lake.
        strategy: The strategy.
        ticks: Every trade, rows of the table `ticks`.
        models: Bundles that the strategy may trade by, one after the other.
    """

    lake: Lake
    strategy: Strategy
    ticks: pl.DataFrame
    models: tuple[Bundle, Bundle]

    def copy(self, root: Path) -> World:
        """The same at another place; files are links, which writing replaces."""
        for source in self.lake.root.rglob("*"):
            if source.is_file():
                target = root / source.relative_to(self.lake.root)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.hardlink_to(source)
        return replace(self, lake=Lake.open(root))

    def of_day(self, day: date) -> pl.DataFrame:
        """The trades of a day."""
        ts = pl.col("ts").to_physical()
        return self.ticks.filter(ts >= day_start(day), ts < day_start(day) + DAY)

    def land(self, day: date) -> None:
        """Bring the archive's record of a day into the lake, and what is made of it."""
        _land(self.lake, self.of_day(day), day, last_tick(self.of_day(day - timedelta(days=1))))
        _features(self.lake, [day])


def make_world(root: Path) -> World:
    lake, strategy = Lake.open(root), make_strategy()
    ticks = _trades(np.random.default_rng(7), list(each_day(FIRST, LAST)))
    world = World(lake, strategy, ticks, ())  # type: ignore[arg-type]
    held = list(each_day(FIRST, BEGIN - timedelta(days=1)))
    rng = np.random.default_rng(3)
    for day in held:
        _land(lake, world.of_day(day), day, last_tick(world.of_day(day - timedelta(days=1))))
        scores = scores_frame(news(rng, day_start(day), DAY, 12, f"lake {day}"))
        lake.write("sentiment_scores", scores, code_version="t", date=day)
    _features(lake, held)
    version = label_version(strategy, INSTRUMENT)
    place = {"strategy": strategy.name, "instrument": NAME}
    for day, frame, inputs in label_days(lake, strategy, INSTRUMENT, held[:-1]):
        lake.write("labels", frame, code_version=version, inputs=inputs, **place, date=day)
    trained = train_week(lake, Settings(), strategy, INSTRUMENT, WEEK)
    models = _variant(lake, trained, 0.4, 1.0), _variant(lake, trained, 0.6, 1.1)
    return replace(world, models=models)


def _variant(lake: Lake, trained: Bundle, share: float, scale: float) -> Bundle:
    """A model as trained, which trades when its probability is above that share of golden rows."""
    trees = replace(trained.trees, leaf_value=trained.trees.leaf_value * scale)
    probabilities = trained.calibration.probability(trees.score(trained.golden["rows"]))
    threshold = float(np.quantile(probabilities, share))
    manifest = trained.manifest.model_copy(update={"threshold": threshold, "files": {}})
    bundle = Bundle.assemble(manifest, trees, trained.calibration, trained.golden["rows"])
    write_bundle(bundle_path(lake, "tiny", NAME, WEEK), bundle)
    keep(lake, "tiny", NAME, WEEK, sha256=bundle.sha256, gate=b"{}")
    return bundle


def _trades(rng: np.random.Generator, days: Sequence[date]) -> pl.DataFrame:
    """Four trades a minute; a slow drift that order flow betrays: something to learn."""
    parts = []
    price, drift, before = 100.0, 0.0, 0
    for day in days:
        n = 4 * DAY // MINUTE
        offsets = np.arange(n) * (MINUTE // 4) + rng.integers(0, MINUTE // 8, n)
        flow, prices = np.empty(n), np.empty(n)
        for i in range(n):
            drift = 0.999 * drift + 0.03 * rng.standard_normal()
            flow[i] = drift + rng.standard_normal()
            price *= 1 + 0.0002 * (0.4 * drift + rng.standard_normal())
            prices[i] = price
        parts.append(
            pl.DataFrame(
                {
                    "trade_id": np.arange(n) + before,
                    "ts": pl.Series(offsets + day_start(day)).cast(TIME),
                    "price": np.round(prices, 2),
                    "qty": np.round(rng.uniform(0.1, 2.0, n), 3),
                    "buyer_maker": flow < 0,
                }
            )
        )
        before += n
    none = pl.lit(None, pl.Int64)
    return pl.concat(parts).with_columns(first_id=none, last_id=none)


def _land(lake: Lake, ticks: pl.DataFrame, day: date, before: LastTick | None) -> None:
    keys = {"instrument": NAME, "date": day}
    found = inspect(ticks, day, INSTRUMENT, previous=before)
    price = None if before is None else (before.price, before.side)
    bars = day_bars(ticks, day, "1m", INSTRUMENT, price, found)
    lake.write("ticks", ticks, code_version="t", **keys)
    lake.write("quality", found, code_version="t", **keys)
    lake.write("bars", bars, code_version=CODE_VERSION, interval="1m", **keys)


def _features(lake: Lake, days: Sequence[date]) -> None:
    version = sentiment_version(SCORER)
    for day in days:
        scores = [
            lake.read("sentiment_scores", date=each)
            for each in (day - timedelta(days=1), day)
            if lake.exists("sentiment_scores", date=each)
        ]
        frame = sentiment_day(pl.concat(scores), INSTRUMENT.id.base, day, SCORER)
        lake.write("sentiment", frame, code_version=version, instrument=NAME, date=day)
    for name in ("core", "sentiment"):
        found = pack(name)
        for day, frame, inputs in feature_frames(lake, found, NAME, "1m", days):
            lake.write(
                "features", frame, code_version=found.hash, inputs=inputs, pack=name,
                instrument=NAME, interval="1m", date=day,
            )  # fmt: skip


def news(
    rng: np.random.Generator, begin: int, length: int, count: int, what: str
) -> list[ScoredItem]:
    """Scored items that become known within a span."""
    at = np.sort(begin + rng.integers(0, length, count))
    at[:2] = begin + np.array([0, MINUTE])  # at a midnight, and at a minute's end
    return [
        ScoredItem(
            f"{what} {k}", ("*", INSTRUMENT.id.base)[k % 2], "feed", ts, ts, ts, "news",
            float(np.round(rng.uniform(-1, 1), 3)), SCORER.name, SCORER.version,
        )
        for k, ts in enumerate(np.sort(at).tolist())
    ]  # fmt: skip


class Clock:
    """Both clocks, set by hand."""

    def __init__(self) -> None:
        self.market_time = MarketTime()
        self.us = 0

    def follow(self, market_time: MarketTime) -> None:
        self.market_time = market_time

    def market(self) -> int:
        return self.us

    def wall_ns(self) -> int:
        return (self.us + _APART) * 1_000


class Seen(NamedTuple):
    """A trade as the stream brings it."""

    trade_id: int
    ts: int
    price: float
    qty: float
    buyer_maker: bool
    first_id: int
    last_id: int
    seen: int


def nothing_withheld(bar: ClosedBar) -> str | None:
    return None


class Killed(Exception):
    """The daemon's process is no more."""


@dataclass
class Desk:
    """The exchange and everything around one daemon, from start to start.

    Attributes:
        world: The market and the lake.
        folder: Where the journal is.
        lost: Ids of trades that the daemon never sees.
        late: Ends of bars that a timer closes although their last trade is on its way.
        slow: Ends of bars on which the daemon decides when they are older than it may be.
        speed: Of market time, as the daemon takes it.
        dies_at: End of a bar whose cut is the last thing that the daemon writes down.
        withheld: Why a decision on a bar is not acted on.
        controls: What people ask for, and when.
    """

    world: World
    folder: Path
    lost: frozenset[int] = frozenset()
    late: frozenset[int] = frozenset()
    slow: frozenset[int] = frozenset()
    dies_at: int = 0
    speed: float = 2.0
    withheld: Callable[[ClosedBar], str | None] = nothing_withheld
    controls: list[Control] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)
    timers: list[int] = field(default_factory=list)
    known: list[ScoredItem] = field(default_factory=list)

    def __post_init__(self) -> None:
        strategy = self.world.strategy
        paths = (tick_path(self.world.of_day(day)) for day in each_day(BEGIN, LAST))
        self.config = EngineConfig.from_strategy(strategy, run="abc123").at_speed(self.speed)
        costs = replace(Costs.of(strategy), latency_us=self.config.latency_us)
        self.venue = SimulatedVenue(RULES, costs, paths)
        self.items = news(np.random.default_rng(4), day_start(BEGIN), 2 * DAY, 40, "live")

    @property
    def path(self) -> Path:
        return self.folder / "journal.sqlite"

    def seams(self) -> Seams:
        return replace(real_seams(), clock=self.clock)

    def run(self, until: int, models: Sequence[tuple[int, Bundle]]) -> None:
        """A daemon from its start until a market time, when it is killed.

        Args:
            until: Microseconds.
            models: From which bar on which model is in service.
        """
        with Journal.open(self.path, self.seams()) as journal, suppress(Killed):
            _Daemon(self, journal, list(models)).live(until)


class _Daemon:
    """One run."""

    def __init__(self, desk: Desk, journal: Journal, models: list[tuple[int, Bundle]]) -> None:
        world = desk.world
        self.desk, self.journal, self.models = desk, journal, models
        bundle = models.pop(0)[1]
        model = Model(bundle, world.strategy)
        now = desk.clock.us or day_start(BEGIN)
        past = lake_past(world.lake, world.strategy, INSTRUMENT, now, 10 * DAY)
        before = last_tick(world.ticks.filter(pl.col("ts").to_physical() < past.begin_us))
        assert before is not None
        begins = Begins("1m", past.begin_us, before.trade_id + 1, before, past.content)
        used = journal.newest_step("tiny", NAME) or past.begin_us
        found = journal.recover(desk.config, RULES)
        cash = Account.opening(RULES.atoms(10_000))
        engine = Engine(desk.config, RULES, cash) if found is None else found.engine
        start = RunStart(
            "0", "tiny", NAME, "c", bundle.sha256, desk.config, RULES, begins, desk.speed,
            DECIDE_WITHIN,
        )  # fmt: skip
        journal.begin_run(start, engine.snapshot())
        self.sentiment = LiveSentiment(
            INSTRUMENT.id.base, MINUTE, SCORER, begin=past.begin_us, used=used, lag_us=MINUTE
        )
        self.sentiment.seed(scores_frame(desk.known), seen_frame(desk.known))
        chain = caught_up(DecisionChain(bundle, world.strategy), past)
        retold = Retold(INSTRUMENT, begins, journal)
        bars: list[ClosedBar] = []
        missed: list[ClosedBar] = []
        for bar in retold.closed():
            (bars if bar.ts <= used else missed).append(bar)
        if bars:
            ends = np.array([bar.ts for bar in bars])
            rows = self.sentiment.rows(ends)
            valid = np.array([bar.valid for bar in bars])
            chain.catch_up(np.stack([bar.row for bar in bars]), rows, valid)
        self.bars: LiveBars = retold.bars
        self.trader = Trader(
            engine, journal, chain, model, self.sentiment.row, clock=desk.clock,
            measures=Measures(), withheld=desk.withheld, decide_within=DECIDE_WITHIN,
        )  # fmt: skip
        self.trader.begin(self.carry_out, lambda ts: heapq.heappush(desk.timers, ts))
        for bar in missed:
            self.trader.on_bar(bar, missed="missed")
        for part in retold.rest():
            for cut, closed in self.bars.push(part):
                self.journal.record_cut(cut)
                for bar in closed:
                    self.trader.on_bar(bar, missed="missed")

    def carry_out(self, command: Sendable) -> None:
        sent = requests(command)
        name = sent[0].client_order_id if sent else command.client_order_id  # type: ignore[union-attr]
        request = self.journal.record_request(name, _KINDS[type(command)])
        self.desk.venue.send(command, self.desk.clock.us)
        self.journal.record_answer(request, "accepted", http_status=200)

    def live(self, until: int) -> None:
        desk, lost = self.desk, self.desk.lost
        ticks = desk.world.ticks.filter(
            pl.col("trade_id") > self.bars.last_id,
            pl.col("ts").to_physical() < until,
            ~pl.col("trade_id").is_in(list(lost)),
        )
        rows = ticks.with_columns(pl.col("ts").to_physical()).select(
            "trade_id", "ts", "price", "qty", "buyer_maker"
        )
        for row in rows.iter_rows():
            end = self.bars.open_end
            assert end is not None
            if end in desk.late and row[1] >= end - MINUTE // 4:
                self.close(end)
            self.take(Seen(*row, -1, -1, row[1] + _APART))
        self.pass_time(until)

    def speak(self, until: int) -> None:
        """What people ask for by then."""
        while self.desk.controls and self.desk.controls[0].ts <= until:
            control = self.desk.controls.pop(0)
            self.pass_time(control.ts)
            self.journal.record_control(control.action, "test")
            self.trader.hear(control)

    def take(self, tick: Seen) -> None:
        """A trade comes."""
        end = self.bars.open_end
        if end is not None and tick.ts >= end + _GRACE:
            self.close(end)
            self.take(tick)
            return
        self.speak(tick.ts)
        self.pass_time(tick.ts)
        self.journal.record_ticks([tick])
        ticks = Ticks(
            np.array([tick.ts]), np.array([tick.price]), np.array([tick.qty]),
            np.array([tick.buyer_maker]), np.array([tick.trade_id]), np.array([-1]), np.array([-1]),
        )  # fmt: skip
        for cut, closed in self.bars.push(ticks):
            self.cut(cut, closed)

    def close(self, end: int) -> None:
        """A timer closes bars."""
        self.pass_time(end + _GRACE)
        self.cut(*self.bars.close(end))

    def cut(self, cut: Cut, closed: Sequence[ClosedBar]) -> None:
        self.journal.record_cut(cut)
        if cut.ts == self.desk.dies_at:
            self.desk.dies_at = 0
            raise Killed
        for bar in closed:
            self.on_bar(bar)

    def on_bar(self, bar: ClosedBar) -> None:
        if bar.ts in self.desk.slow:
            self.desk.clock.us = max(self.desk.clock.us, bar.ts + DECIDE_WITHIN + 1)
        while self.models and bar.ts >= self.models[0][0]:
            self.trader.swap(Model(self.models.pop(0)[1], self.desk.world.strategy))
        self.trader.on_bar(bar)

    def pass_time(self, until: int) -> None:
        """What the exchange, timers and feeds have to say by then, in order."""
        desk = self.desk
        while desk.items and desk.items[0].available_at <= until:
            item = desk.items.pop(0)
            placed = self.sentiment.place(scores_frame([item]))
            desk.known.append(
                item._replace(available_at=int(placed["available_at"].to_physical()[0]))
            )
            self.journal.record_news(desk.known[-1:])
            self.sentiment.count(placed)
        while True:
            timer = desk.timers[0] if desk.timers else NEVER
            arrival = desk.venue.next_arrival
            now = min(timer, arrival, until)
            scheduled = desk.venue.peek(now)
            if scheduled is not None and scheduled.ts < now:
                self.tell(desk.venue.execute(scheduled))
            elif now >= until:
                break
            elif timer == now:
                heapq.heappop(desk.timers)
                self.tell([Timer(now)])
            else:
                self.tell(desk.venue.arrive())
        desk.clock.us = max(desk.clock.us, until)

    def tell(self, events: Sequence[Event]) -> None:
        journal = self.journal
        for event in events:
            self.desk.clock.us = max(self.desk.clock.us, event.ts)
            match event:
                case Fill():
                    journal.record_fill(
                        event, commission="0.01", commission_asset="USD", source="stream"
                    )
                case OrderUpdate(_, name, status, filled):
                    journal.record_order(name, exchange_order_id=1, status=status, filled=filled)
            self.trader.hear(event)


def trade(world: World, folder: Path, dies_at: int = 0) -> Desk:
    """A day and two hours: killed in the middle of a bar, another model put in service, trades that
    are late or lost, decisions that come too late or are withheld, a pause."""
    start = day_start(BEGIN)
    lost = world.of_day(NEXT).filter(
        pl.col("ts").to_physical() > day_start(NEXT) + HOUR + 30 * MINUTE
    )["trade_id"][0]
    desk = Desk(
        world,
        folder,
        lost=frozenset([lost]),
        late=frozenset(start + k * 97 * MINUTE for k in range(1, 16)),
        dies_at=dies_at,
        slow=frozenset(start + k * 13 * MINUTE for k in range(1, 120)),
        withheld=lambda bar: "test" if bar.ts // MINUTE % 11 == 0 else None,
        controls=[Control(start + 3 * HOUR, "pause"), Control(start + 4 * HOUR, "resume")],
    )
    first, second = world.models
    desk.run(start + 5 * HOUR + 20 * SECOND, [(0, first)])
    desk.run(start + DAY + 2 * HOUR, [(0, first), (start + 9 * HOUR, second)])
    return desk


def see_to_exits(path: Path, days: Sequence[date]) -> None:
    """A run that goes on from a journal's last one, closes no bar, and hears something at noon of
    each day."""
    clock = Clock()
    with Journal.open(path, replace(real_seams(), clock=clock)) as journal:
        last = journal.last_run()
        assert last is not None
        found = journal.recover(last.start.config, RULES)
        assert found is not None
        journal.begin_run(last.start, found.engine.snapshot())
        for day in days:
            clock.us = day_start(day) + 12 * HOUR
            for event in (Control(clock.us, "flatten"), Timer(clock.us)):
                journal.append(event, found.engine.handle(event), clock.us)
            journal.record_alert("warning", "lake", "seeing to exits alone")


@dataclass(frozen=True)
class Traded:
    """A world, and the journal of a daemon that traded it, shipped."""

    world: World
    journal: Path

    @property
    def lake(self) -> Lake:
        return self.world.lake


def make_traded(root: Path) -> Traded:
    world = make_world(root / "lake")
    desk = trade(world, root / "state")
    ship(desk.path, world.lake, "tiny", NAME)
    return Traded(world, desk.path)
