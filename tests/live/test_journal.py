"""What is written to the journal comes back as it was, and what is synced."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

from vostok_core.lake.tables import table
from vostok_core.live.chain import Step
from vostok_core.live.cuts import ClosedBar, Cut
from vostok_core.times import DAY, MINUTE, day_start
from vostok_core.trading.account import Account
from vostok_core.trading.commands import (
    Alert,
    Cancel,
    Command,
    OrderRequest,
    Place,
    PlaceList,
    Replace,
    SetTimer,
    command_to_json,
)
from vostok_core.trading.config import Capabilities, EngineConfig
from vostok_core.trading.engine import CODE_VERSION, Engine
from vostok_core.trading.events import BarClosed, Control, Decision, Fill, OrderUpdate, Timer
from vostok_core.trading.rules import Rules
from vostok_live.errors import JournalError
from vostok_live.journal.reader import Reader
from vostok_live.journal.rows import Answered, MadeBar, RunStart, ScoredItem, to_text
from vostok_live.journal.writer import Journal
from vostok_live.seams import MarketTime, Seams, real_seams

TODAY = date(2026, 3, 4)
NOON = day_start(TODAY) + DAY // 2
RULES = Rules(Decimal("0.01"), Decimal("0.001"), min_notional=1_000_000)
CONFIG = EngineConfig(
    run="a1",
    horizon_us=3_600_000_000,
    take_profit=2.0,
    stop_loss=0.1 + 0.2,
    capabilities=Capabilities(entry_list=False),
)
START = RunStart("0.1.0", "trend", "binance.spot.BTC-USDT", "c0ffee", "b" * 64, CONFIG, RULES)
ENTRY = OrderRequest("vla1-1-e", "entry", "buy", "limit", "IOC", 10, 10_050)
TAKE = OrderRequest("vla1-1-t", "take_profit", "sell", "limit", "GTC", 10, 10_200)
STOP = OrderRequest("vla1-1-s", "stop_loss", "sell", "stop", "GTC", 10, 9_900)
SELL = OrderRequest("vla1-2-m", "market", "sell", "market", "IOC", 10, 0)
BAR = BarClosed(NOON, 10_000)
FILL = Fill(NOON + 1, "vla1-1-e", 77, 10_001, 10, 13, "taker")


class StandingClock:
    """A clock that shows what it was set to."""

    market_time = MarketTime()

    def __init__(self) -> None:
        self.wall_us = 1_700_000_000_000_000

    def follow(self, market_time: MarketTime) -> None:
        self.market_time = market_time

    def wall_ns(self) -> int:
        return self.wall_us * 1_000 + 999

    def market(self) -> int:
        return NOON + 5


class Seen(NamedTuple):
    trade_id: int
    ts: int
    price: float
    qty: float
    buyer_maker: bool
    first_id: int
    last_id: int
    seen: int


def fresh_engine(config: EngineConfig = CONFIG) -> Engine:
    return Engine(config, RULES, Account.opening(100_000_000))


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def seams(clock: StandingClock) -> Seams:
    return replace(real_seams(), clock=clock)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite"


@pytest.fixture
def journal(path: Path, seams: Seams) -> Iterator[Journal]:
    opened = Journal.open(path, seams)
    opened.begin_run(START, fresh_engine().snapshot())
    yield opened
    opened.abandon()


def columns(path: Path, name: str, *keys: Any) -> dict[str, list[Any]]:
    with Reader.open(path) as reader:
        found: dict[str, list[Any]] = getattr(reader, f"read_{name}")(*keys)
    return found


def test_run_comes_back_with_the_configuration_and_grid_it_began_with(
    journal: Journal, path: Path, seams: Seams, clock: StandingClock
) -> None:
    journal.append(BAR, [], NOON)
    later = replace(
        START, bundle="d" * 64, config=replace(CONFIG, run="a2", capabilities=Capabilities())
    )
    first_began = clock.wall_us
    clock.wall_us += 60_000_000
    assert journal.begin_run(later, fresh_engine().snapshot()) == 2
    journal.close()
    with Journal.open(path, seams) as again:
        first, second = again.runs()
        assert again.last_run() == second
    assert (first.start, first.wall_us, first.seq) == (START, first_began, 0)
    assert (second.start, second.wall_us, second.seq) == (later, clock.wall_us, 1)
    assert first.engine_version == CODE_VERSION


def test_events_and_their_commands_come_back_in_order_with_the_bits_of_their_doubles(
    journal: Journal, clock: StandingClock
) -> None:
    odd = Decision(0.1 + 0.2, 5e-324, math.nextafter(0.01, 1), 1e16 + 2)
    answers: list[tuple[Any, list[Command]]] = [
        (BarClosed(NOON, 10_000, decision=odd), [PlaceList(ENTRY, TAKE, STOP), SetTimer(NOON + 9)]),
        (OrderUpdate(NOON, "vla1-1-e", "rejected", 0, "Filter failure: „NOTIONAL“"), []),
        (BarClosed(NOON, 10_000, decision=Decision(math.nan, 0.5, math.nan, 1.0)), []),
        (Control(NOON, "kill"), [Alert("critical", "killed", "asked for"), Cancel("vla1-1-e")]),
    ]
    assert [journal.append(event, said, NOON + 3) for event, said in answers] == [1, 2, 3, 4]
    heard = journal.events_after(0)
    assert [each.seq for each in heard] == [1, 2, 3, 4]
    for each, (event, said) in zip(heard, answers, strict=True):
        assert repr(each.event) == repr(event)  # what is no number does not equal itself
        assert each.commands == tuple(to_text(command_to_json(command)) for command in said)
        assert (each.run, each.ts, each.wall_us) == (1, NOON + 3, clock.wall_us)
    assert [each.seq for each in journal.events_after(2)] == [3, 4]
    assert journal.seq == 4


@pytest.mark.parametrize(
    ("write", "synced"),
    [
        (lambda j: j.append(BAR, [], NOON), False),
        (lambda j: j.append(BAR, [SetTimer(NOON), Alert("info", "a", "b")], NOON), False),
        (lambda j: j.append(FILL, [], NOON), False),
        (lambda j: j.append(BAR, [SetTimer(NOON), Place(ENTRY)], NOON), True),
        (lambda j: j.append(BAR, [PlaceList(None, TAKE, STOP)], NOON), True),
        (lambda j: j.append(BAR, [Cancel("vla1-1-t")], NOON), True),
        (lambda j: j.append(BAR, [Replace("vla1-1-t", SELL)], NOON), True),
        (lambda j: j.append(Control(NOON, "pause"), [], NOON), True),
        (lambda j: j.begin_run(START, {}), True),
        (lambda j: j.record_control("pause", "http"), True),
        (lambda j: j.latch("asked for"), True),
        (lambda j: j.record_request("vla1-1-e", "place"), False),
        (lambda j: [j.record_request("vla1-1-e", "place") for _ in "12"], True),
        (lambda j: j.record_ticks([]), False),
        (lambda j: j.snapshot(0, {}), False),
    ],
    ids=[
        "bar", "timer-and-alert", "fill", "place", "place-list", "cancel", "replace", "control",
        "run", "word-of-a-person", "latch", "first-request", "second-request", "ticks", "snapshot",
    ],
)  # fmt: skip
def test_what_cannot_be_had_again_is_committed_with_a_sync(
    path: Path, seams: Seams, write: Any, synced: bool
) -> None:
    opened: list[sqlite3.Connection] = []

    def connect(place: Path) -> sqlite3.Connection:
        opened.append(seams.connect(place))
        return opened[-1]

    with Journal.open(path, replace(seams, connect=connect)) as journal:
        journal.begin_run(START, {})
        journal.append(BAR, [], NOON) if synced else journal.latch("x")
        write(journal)
        level = opened[-1].execute("PRAGMA synchronous").fetchone()[0]
    assert level == (2 if synced else 1)


def test_client_order_id_is_never_used_twice_even_by_another_run(journal: Journal) -> None:
    journal.append(BAR, [Place(ENTRY)], NOON)
    journal.begin_run(START, {})
    with pytest.raises(JournalError, match=r"UNIQUE.*orders\.client_order_id"):
        journal.append(BAR, [Place(ENTRY)], NOON)


def test_timers_wait_until_a_timer_rings_at_or_after_them(journal: Journal) -> None:
    journal.append(BAR, [SetTimer(NOON + 5), SetTimer(NOON + 9), SetTimer(NOON + 5)], NOON)
    assert journal.timers() == [NOON + 5, NOON + 9]
    journal.append(Timer(NOON + 5), [SetTimer(NOON + 4)], NOON + 6)
    assert journal.timers() == [NOON + 4, NOON + 9]
    journal.append(BarClosed(NOON + 10, 10_000), [], NOON + 10)
    assert journal.timers() == [NOON + 4, NOON + 9]
    journal.append(Timer(NOON + 10), [], NOON + 10)
    assert journal.timers() == []


def test_recovery_hands_over_what_was_asked_for_sent_and_answered(
    journal: Journal, clock: StandingClock
) -> None:
    engine = fresh_engine(replace(CONFIG, capabilities=Capabilities()))
    journal.begin_run(replace(START, config=engine.config), engine.snapshot())
    asked_us = clock.wall_us
    bar = BarClosed(NOON, 10_000, decision=Decision(0.9, 0.5, 0.01, 100.0))
    commands = engine.handle(bar)
    (place,) = (c for c in commands if isinstance(c, PlaceList))
    assert place.entry is not None
    journal.append(bar, commands, NOON)

    def unsettled() -> dict[str, Any]:
        recovered = journal.recover(engine.config, RULES)
        assert recovered is not None
        assert recovered.engine.snapshot() == engine.snapshot()
        return {each.request.leg: each for each in recovered.unsettled}

    found = unsettled()
    assert set(found) == {"entry", "take_profit", "stop_loss"}
    assert found["stop_loss"].request == place.stop_loss
    assert found["entry"].request == place.entry
    assert set(found["entry"].together) == {"vla1-1-e", "vla1-1-t", "vla1-1-s"}
    assert found["entry"].asked_us == asked_us
    assert found["entry"].sent is None

    clock.wall_us += 7
    request = journal.record_request("vla1-1-e", "place_list")
    assert (request.attempt, request.sent_us) == (1, asked_us + 7)
    assert unsettled()["take_profit"].sent == Answered(
        "place_list", 1, asked_us + 7, None, None, None, None, None
    )
    clock.wall_us += 3
    journal.record_answer(request, "limited", code=-1003, http_status=429, text="Too many")
    journal.record_answer(journal.record_request("vla1-1-e", "cancel"), "done")
    assert unsettled()["take_profit"].sent.attempt == 1
    assert unsettled()["take_profit"].sent.outcome == "limited"
    again = journal.record_request("vla1-1-e", "place_list")
    assert again.attempt == 2
    assert unsettled()["take_profit"].sent == Answered(
        "place_list", 2, clock.wall_us, None, None, None, None, None
    )
    journal.record_answer(again, "accepted", http_status=200)
    sent = unsettled()["entry"].sent
    assert (sent.outcome, sent.code, sent.http_status, sent.text, sent.answered_us) == (
        "accepted", None, 200, None, clock.wall_us,
    )  # fmt: skip

    assert journal.record_order("vla1-1-e", exchange_order_id=4242, status="FILLED", filled=9)
    assert journal.record_order("vla1-1-e", exchange_order_id=None, status="FILLED", filled=10)
    assert not journal.record_order("web_1", exchange_order_id=1, status="NEW", filled=0)
    assert unsettled()["entry"].exchange_order_id == 4242

    over = OrderUpdate(NOON + 2, "vla1-1-e", "expired", filled=10)
    journal.append(over, engine.handle(over), NOON)
    assert set(unsettled()) == {"entry", "take_profit", "stop_loss"}
    journal.append(FILL, engine.handle(FILL), NOON)
    assert set(unsettled()) == {"take_profit", "stop_loss"}


def test_fill_counts_once_and_is_told_to_the_engine_after_a_stop_in_between(
    journal: Journal, path: Path, seams: Seams
) -> None:
    def record(where: Journal) -> bool:
        return where.record_fill(
            FILL, commission="0.00001300", commission_asset="BNB", source="stream"
        )

    assert record(journal)
    assert not record(journal)
    journal.abandon()

    with Journal.open(path, seams) as again:
        recovered = again.recover(CONFIG, RULES)
        assert recovered is not None
        assert recovered.untold == (FILL,)
        again.begin_run(START, recovered.engine.snapshot())
        assert not record(again)
        again.append(FILL, recovered.engine.handle(FILL), NOON)
        recovered = again.recover(CONFIG, RULES)
        assert recovered is not None
        assert recovered.untold == ()
    told = columns(path, "fills", TODAY)
    assert told["instrument"] == [START.instrument]
    assert (told["commission"], told["commission_asset"]) == (["0.00001300"], ["BNB"])
    assert (told["price"], told["qty"], told["fee"], told["seq"]) == ([10_001], [10], [13], [1])


def test_trade_ids_are_unique_within_their_instrument_only(journal: Journal, path: Path) -> None:
    tick = Seen(5, NOON, 1.5, 2.0, True, -1, -1, 9)
    assert journal.record_ticks([tick]) == 1
    assert journal.record_fill(FILL, commission="1", commission_asset="BNB", source="stream")
    journal.begin_run(replace(START, instrument="binance.spot.ETH-USDT"), {})
    assert journal.record_ticks([tick, tick]) == 1
    assert journal.record_fill(FILL, commission="1", commission_asset="BNB", source="stream")
    assert columns(path, "ticks", START.instrument, TODAY)["trade_id"] == [5]
    assert columns(path, "ticks", "binance.spot.ETH-USDT", TODAY)["trade_id"] == [5]


def test_ticks_come_back_by_their_day_as_the_lake_holds_them(journal: Journal, path: Path) -> None:
    midnight = day_start(TODAY)
    ticks = [
        Seen(10, midnight - 1, 100.01, 0.1 + 0.2, True, 20, 22, 1),
        Seen(11, midnight, 100.02, 5e-9, False, -1, -1, 2),
        Seen(13, midnight + DAY - 1, 1e5 / 3, 1.0, True, 23, 23, 4),
        Seen(12, midnight + 7, 100.03, 2.0, False, 24, 25, 3),
        Seen(14, midnight + DAY, 100.04, 1.0, True, 26, 26, 5),
    ]
    assert journal.record_ticks(ticks) == 5
    changed = ticks[1]._replace(price=1.0)
    assert journal.record_ticks([changed, ticks[0]]) == 0
    found = columns(path, "ticks", START.instrument, TODAY)
    assert found.pop("seen_us") == [2, 3, 4]
    schema = {name: kind for name, kind in table("ticks").schema.items() if name in found}
    frame = pl.DataFrame(found, schema=schema)
    assert frame["trade_id"].to_list() == [11, 12, 13]
    assert frame["price"].to_list() == [100.02, 100.03, 1e5 / 3]
    assert frame["qty"].to_list() == [5e-9, 2.0, 1.0]
    assert frame["buyer_maker"].to_list() == [False, False, True]
    assert frame["first_id"].to_list() == [None, 24, 23]


def test_first_cut_of_a_bar_stands_and_midnight_belongs_to_the_day_it_closes(
    journal: Journal, path: Path
) -> None:
    midnight = day_start(TODAY) + DAY
    assert journal.record_cut(Cut(midnight, 99, "timer"))
    assert not journal.record_cut(Cut(midnight, 98, "trade"))
    assert journal.record_cut(Cut(midnight - MINUTE, -1, "trade"))
    assert journal.record_cut(Cut(midnight + MINUTE, 99, "timer"))
    found = columns(path, "cuts", START.instrument, TODAY)
    del found["wall_us"]
    cuts = [Cut(*row) for row in zip(*found.values(), strict=True)]
    assert cuts == [Cut(midnight - MINUTE, -1, "trade"), Cut(midnight, 99, "timer")]
    assert columns(path, "cuts", START.instrument, date(2026, 3, 5))["ts"] == [midnight + MINUTE]


def test_steps_keep_every_bit_of_their_features_and_decisions(journal: Journal, path: Path) -> None:
    payload = np.array([0x7FF8DEADBEEF0001], dtype=np.uint64).view(np.float64)[0]
    features = np.array([1.5, -0.0, math.inf, payload, 5e-324])
    said = Decision(0.1 + 0.2, 0.5, math.nextafter(0.01, 1), 100.01)
    row, heard = np.array([float(NOON), payload, -0.0]), np.array([float(NOON), 2.0, -0.5, 1.5])
    first = MadeBar(
        Step(NOON, features, True, True, -1.25, said),
        ClosedBar("1m", row, 7, 9, np.bool_(True)),
        "f" * 64,
        sentiment=heard,
    )
    assert journal.append(BAR, [], NOON, first) == 1
    quiet = Step(NOON + MINUTE, features[::-1], np.bool_(False), np.bool_(True), math.nan, None)
    late = ClosedBar("1m", row[::-1], -1, -1, np.bool_(False))
    journal.append(BAR, [], NOON, MadeBar(quiet, late, "e" * 64, withheld="catching_up"))
    found = columns(path, "steps", "trend", START.instrument, TODAY)
    assert found["bar"] == [row.tobytes(), row[::-1].tobytes()]
    assert (found["first_id"], found["last_id"]) == ([7, -1], [9, -1])
    assert found["bar_valid"] == [True, False]
    assert found["sentiment"] == [heard.tobytes(), None]
    assert found["withheld"] == [None, "catching_up"]
    assert found["features"] == [features.tobytes(), features[::-1].tobytes()]
    assert found["bundle"] == ["f" * 64, "e" * 64]
    assert (found["event"], found["valid"]) == ([True, False], [True, True])
    said_then = [found[name][0] for name in ("score", "probability", "threshold", "sigma")]
    assert said_then == [-1.25, said.probability, said.threshold, said.sigma]
    quiet_then = [found[name][1] for name in ("score", "probability", "reference")]
    assert all(map(math.isnan, quiet_then))
    assert columns(path, "steps", "other", START.instrument, TODAY)["ts"] == []


def test_news_is_kept_once_for_every_score_of_it(journal: Journal, path: Path) -> None:
    item = ScoredItem("a" * 8, "BTC", "demo", NOON - 9, NOON - 5, NOON, "Up", 0.5, "lexicon", "1")
    assert journal.record_news([item, item._replace(asset="*"), item]) == 2
    assert journal.record_news([item._replace(score=-0.5)]) == 0
    assert journal.record_news([item._replace(scorer_version="2", available_at=NOON + DAY)]) == 1
    found = columns(path, "news", TODAY)
    assert (found["asset"], found["score"]) == (["*", "BTC"], [0.5, 0.5])
    assert found["available_at"] == [NOON, NOON]


def test_people_find_what_they_were_told_and_what_they_asked_for(
    journal: Journal, path: Path
) -> None:
    journal.append(BAR, [Alert("critical", "killed", "daily loss")], NOON)
    journal.record_alert("warning", "feed_stale", "no trade for 20 s")
    journal.record_control("flatten", "http 127.0.0.1")
    told = columns(path, "alerts", TODAY)
    assert (told["seq"], told["ts"]) == ([1, None], [NOON, NOON + 5])
    assert told["code"] == ["killed", "feed_stale"]
    asked = columns(path, "controls", TODAY)
    assert (asked["action"], asked["asked_by"]) == (["flatten"], ["http 127.0.0.1"])


def test_kill_latch_keeps_its_first_reason_until_it_is_released(
    journal: Journal, path: Path, seams: Seams
) -> None:
    assert journal.latched() is None
    journal.release()
    journal.latch("daily loss")
    journal.latch("asked for")
    journal.abandon()
    with Journal.open(path, seams) as again:
        assert again.latched() == "daily loss"
        again.release()
        again.release()
        assert again.latched() is None
        again.latch("asked for")
        assert again.latched() == "asked for"
    kept = sqlite3.connect(path).execute("SELECT why FROM kill_latch").fetchall()
    assert kept == [("daily loss",), (None,), ("asked for",)]


def test_orders_requests_events_and_commands_can_be_shipped_by_the_day(
    journal: Journal, path: Path, clock: StandingClock
) -> None:
    journal.append(BAR, [PlaceList(None, TAKE, STOP), SetTimer(NOON)], NOON)
    journal.record_order("vla1-1-t", exchange_order_id=7, status="NEW", filled=0)
    journal.record_answer(journal.record_request("vla1-1-t", "place_list"), "accepted")
    journal.append(BAR, [Place(SELL)], NOON + DAY)
    orders = columns(path, "orders", TODAY)
    assert orders["client_order_id"] == ["vla1-1-s", "vla1-1-t"]
    assert (orders["status"], orders["exchange_order_id"]) == ([None, "NEW"], [None, 7])
    commands = columns(path, "commands", TODAY)
    assert list(zip(commands["seq"], commands["kind"], strict=True)) == [
        (1, "PlaceList"), (1, "SetTimer"),
    ]  # fmt: skip
    events = columns(path, "events", date(2026, 3, 5))
    assert (events["seq"], events["kind"]) == ([2], ["BarClosed"])
    assert json.loads(events["body"][0])["close"] == 10_000
    now = clock.wall_us
    assert columns(path, "requests", now, now + 1)["outcome"] == ["accepted"]
    assert columns(path, "requests", now + 1, now + 2)["outcome"] == []


# Recovery


def test_journal_in_which_no_run_has_begun_has_no_engine_to_recover(
    path: Path, seams: Seams
) -> None:
    with Journal.open(path, seams) as journal:
        assert journal.recover(CONFIG, RULES) is None
        with pytest.raises(AssertionError, match="a run begins before"):
            journal.append(BAR, [], NOON)


def test_newest_snapshot_takes_the_place_of_others_but_for_those_of_starts(
    journal: Journal,
) -> None:
    started = fresh_engine().snapshot()
    for number in range(1, 4):
        journal.append(BarClosed(NOON + number, 10_000), [], NOON)
        journal.snapshot(number, {"after": number})
    assert journal.last_snapshot() == (3, {"after": 3})
    assert journal.snapshot_at(0) == started
    assert journal.snapshot_at(2) is None
    journal.begin_run(START, {"again": 3})
    journal.append(BAR, [], NOON)
    journal.snapshot(4, {"after": 4})
    assert [journal.snapshot_at(seq) for seq in (0, 3, 4)] == [started, {"again": 3}, {"after": 4}]
    with pytest.raises(AssertionError, match="written down"):
        journal.snapshot(5, {})


def test_recovery_hears_events_under_the_rules_of_their_time_and_goes_on_under_the_new(
    journal: Journal,
) -> None:
    engine = fresh_engine()
    bar = BarClosed(NOON, 10_000, decision=Decision(0.9, 0.5, 0.01, 100.0))
    journal.append(bar, engine.handle(bar), NOON)
    config = replace(CONFIG, run="b2", fraction=0.5, retry_us=7)
    rules = replace(RULES, min_notional=5)
    recovered = journal.recover(config, rules)
    assert recovered is not None
    assert recovered.engine.snapshot() == engine.snapshot()
    assert recovered.engine.config == config
    assert recovered.engine.rules == rules
    assert recovered.run.start == START


def test_engine_that_answers_otherwise_than_the_one_that_wrote_is_refused(
    journal: Journal,
) -> None:
    journal.append(BAR, [], NOON)
    journal.append(BAR, [Alert("info", "from", "another engine")], NOON)
    with pytest.raises(JournalError, match=r"event 2 otherwise than Vostok 0\.1\.0"):
        journal.recover(CONFIG, RULES)
    journal.snapshot(2, fresh_engine().snapshot())
    assert journal.recover(CONFIG, RULES) is not None


@pytest.mark.parametrize("change", [{"price_tick": Decimal("0.1")}, {"quantity_step": Decimal(1)}])
def test_journal_that_counts_on_another_grid_is_refused(
    journal: Journal, change: dict[str, Decimal]
) -> None:
    with pytest.raises(JournalError, match=r"the journal counts in ticks of 0\.01 and lots"):
        journal.recover(CONFIG, replace(RULES, **change))
