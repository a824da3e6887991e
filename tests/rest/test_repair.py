"""Broken spans are asked for again: from the embedded exchange, and from one without ids."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.rest.exchanges import HURRY, instrument, numbered
from vostok_core.market.days import CODE_VERSION, bars_day, ticks_day
from vostok_core.market.instrument import Instrument
from vostok_core.market.parts import write_part
from vostok_core.times import DAY, HOUR, MINUTE, SECOND, day_start
from vostok_exchange.archive import archive_path
from vostok_pipelines.broken import broken_spans
from vostok_pipelines.landing import land_days
from vostok_pipelines.repair import Answer, Repairs, ask_again, repaired_by
from vostok_pipelines.rest.trades import Trade, frame_of, landed_rows
from vostok_pipelines.rest.venues import venue_of
from vostok_pipelines.sources.binance import read_agg_trades
from vostok_pipelines.sources.common import SourceFile

ONE, TWO = date(2025, 3, 29), date(2025, 3, 30)

_PLACE = pl.int_range(pl.len())  # of a row in its frame


class Repaired:
    """A lake whose holes are mended, and what came of it."""

    def __init__(self, project: Any, name: str) -> None:
        self.project = project
        self.lake = project.open_lake()
        self.of: Instrument = project.settings.universe[name]
        self.venue = venue_of(project.settings, self.of)

    def land(self, day: date, rows: pl.DataFrame, **provenance: str) -> None:
        name = f"{rows.height:08d}{len(self.lake.parts('raw_trades', **self.keys(day))):08d}"
        write_part(self.lake, self.of, "trades", day, rows, name, provenance)

    def keys(self, day: date) -> dict[str, Any]:
        return {"instrument": str(self.of.id), "date": day}

    def make(self, *days: date) -> None:
        for day in days:
            ticks, quality, inputs = ticks_day(self.lake, self.of, day)
            keys = {"code_version": CODE_VERSION, "inputs": inputs, **self.keys(day)}
            self.lake.write("ticks", ticks, **keys)
            self.lake.write("quality", quality, **keys)
            bars, inputs = bars_day(self.lake, self.of, ["1m"], day)
            keys["inputs"] = inputs
            self.lake.write("bars", bars["1m"], interval="1m", **keys)

    def repair(self, *days: date) -> list[tuple[str, str | None, str | None]]:
        """Ask and land; the kind, what repaired it and why not, of each span."""
        spans = broken_spans(self.lake, self.of, self.venue, days[0], days[-1])
        answers = asyncio.run(ask_again(self.project, self.lake, self.of, self.venue, spans, HURRY))
        repairs = Repairs(answers, self.venue)
        for _, outcome in land_days(self.lake, repairs, self.of, repairs.all_days):
            assert not isinstance(outcome, Exception)
        self.make(*days)
        return [self.told(answer) for answer in answers]

    def told(self, answer: Answer) -> tuple[str, str | None, str | None]:
        return answer.of.kind, repaired_by(self.lake, self.of, answer), answer.why

    def ticks(self, day: date) -> pl.DataFrame:
        return self.lake.read("ticks", **self.keys(day))

    def invalid(self, *days: date) -> int:
        keys = [self.keys(day) for day in days]
        return sum(
            int((~self.lake.read("bars", interval="1m", **each)["valid"]).sum()) for each in keys
        )


@pytest.fixture
def abc(embedded: tuple[Path, str], project_at: Any) -> Repaired:
    return Repaired(project_at(demo=embedded[1]), "demo.spot.ABC-USDT")


def archived(embedded: tuple[Path, str], day: date) -> pl.DataFrame:
    return read_agg_trades(SourceFile.open(archive_path(embedded[0], "ABCUSDT", day))).frame


def test_gaps_inside_a_day_and_over_midnight_are_closed_by_exactly_what_is_missing(
    embedded: Any, abc: Repaired
) -> None:
    one, two = archived(embedded, ONE), archived(embedded, TWO)
    abc.land(ONE, pl.concat([one[:100], one[150:-20]]), archive="one.zip")
    abc.land(TWO, pl.concat([two[30:1000], two[1001:]]), archive="two.zip")
    abc.make(ONE, TWO)
    assert abc.invalid(ONE, TWO) > 0
    told = abc.repair(ONE, TWO)
    assert {kind for kind, _, _ in told} == {"gap", "silence"}
    assert all(repaired is not None and why is None for _, repaired, why in told)
    assert abc.invalid(ONE, TWO) == 0
    for day, whole in ((ONE, one), (TWO, two)):
        assert abc.ticks(day).equals(whole.select(abc.ticks(day).columns))
        parts = abc.lake.parts("raw_trades", **abc.keys(day))
        mends = [part for part in parts if "repair" in part.inputs]
        assert [part.inputs["repair"] for part in mends] == ["rest binance"]
        assert sum(part.rows for part in parts) == whole.height, "and not a row more"
    assert abc.repair(ONE, TWO) == [], "there is nothing left to repair"


def test_a_repair_that_was_killed_before_its_days_were_made_is_finished_by_the_next(
    embedded: Any, abc: Repaired
) -> None:
    one = archived(embedded, ONE)
    abc.land(ONE, pl.concat([one[:100], one[103:]]))
    abc.make(ONE)
    spans = broken_spans(abc.lake, abc.of, abc.venue, ONE, ONE)
    answers = asyncio.run(ask_again(abc.project, abc.lake, abc.of, abc.venue, spans, HURRY))
    repairs = Repairs(answers, abc.venue)
    assert len(list(land_days(abc.lake, repairs, abc.of, repairs.all_days))) == 1
    before = abc.lake.parts("raw_trades", **abc.keys(ONE))
    ((kind, repaired, _),) = abc.repair(ONE)
    assert (kind, repaired is not None) == ("gap", True)
    assert abc.lake.parts("raw_trades", **abc.keys(ONE)) == before, "nothing lands twice"


def test_a_day_that_ends_too_early_is_fetched_to_its_end(embedded: Any, abc: Repaired) -> None:
    one = archived(embedded, ONE)
    abc.land(ONE, one[:2000])
    abc.make(ONE)
    ((kind, repaired, _),) = abc.repair(ONE)
    assert kind == "silence"
    assert repaired is not None
    assert abc.ticks(ONE).height == one.height


def test_a_silence_across_which_the_ids_are_unbroken_is_one(embedded: Any, abc: Repaired) -> None:
    one = archived(embedded, ONE)
    ts = one["ts"].to_physical()
    start = day_start(ONE)
    # As if nobody had traded from six to nine: the ids go on.
    still = ts.is_between(start + 6 * HOUR, start + 9 * HOUR)
    first = int(one.filter(still)["trade_id"][0])
    rows = one.filter(~still).with_columns(
        trade_id=pl.Series(
            range(first - int((ts < start + 6 * HOUR).sum()), 10**6), dtype=pl.Int64
        )[: int((~still).sum())]
    )
    rows = rows.with_columns(first_id="trade_id", last_id="trade_id")
    abc.land(ONE, rows)
    abc.make(ONE)
    ((kind, repaired, why),) = abc.repair(ONE)
    assert (kind, repaired) == ("silence", None)
    assert why == "the ids are unbroken across it: nothing was traded"


def test_the_exchange_decides_between_two_contents(embedded: Any, abc: Repaired) -> None:
    one = archived(embedded, ONE)
    wrong = one.with_columns(
        price=pl.when(_PLACE.is_in([10, 500])).then(pl.col("price") + 1).otherwise("price")
    )
    abc.land(ONE, wrong)
    abc.land(ONE, one)
    abc.make(ONE)
    told = abc.repair(ONE)
    assert [kind for kind, _, _ in told] == ["duplicate", "duplicate"]
    assert all(str(repaired).startswith("1 trade of rest binance (") for _, repaired, _ in told)
    assert abc.ticks(ONE)["price"].equals(one["price"])
    assert abc.invalid(ONE) == 0


def test_a_trade_beside_a_gap_that_the_exchange_has_otherwise_is_a_finding(
    embedded: Any, abc: Repaired
) -> None:
    one = archived(embedded, ONE)
    rows = pl.concat([one[:100], one[103:]])
    wrong = rows.with_columns(
        price=pl.when(_PLACE == 99).then(pl.col("price") + 1).otherwise("price")
    )
    abc.land(ONE, wrong)
    abc.make(ONE)
    ((kind, repaired, _),) = abc.repair(ONE)
    assert (kind, repaired is not None) == ("gap", True)
    quality = abc.lake.read("quality", **abc.keys(ONE)).filter("invalidates")
    assert quality["kind"].to_list() == ["duplicate"]
    assert abc.ticks(ONE)["price"][99] == one["price"][99] + 1, "nothing is silently replaced"


def test_a_jump_is_looked_up_and_what_the_exchange_has_otherwise_is_a_finding(
    embedded: Any, abc: Repaired
) -> None:
    one = archived(embedded, ONE)
    wrong = one.with_columns(
        price=pl.when(_PLACE == 99).then(pl.col("price") * 3).otherwise("price")
    )
    abc.land(ONE, wrong)
    abc.make(ONE)
    told = abc.repair(ONE)
    assert told == [("jump", None, None), ("jump", None, None)], "up and down again"
    quality = abc.lake.read("quality", **abc.keys(ONE)).filter("invalidates")
    assert sorted(quality["kind"]) == ["duplicate", "jump", "jump"]
    parts = abc.lake.parts("raw_trades", **abc.keys(ONE))
    assert [part.rows for part in parts if "repair" in part.inputs] == [1]
    assert abc.ticks(ONE)["price"][99] == one["price"][99] * 3, "nothing is silently replaced"


def test_a_jump_that_the_exchange_has_too_is_told(binance: Any, project_at: Any) -> None:
    start = day_start(ONE)
    trades = [
        trade._replace(price=trade.price * (1 if trade.id < 1_000 else 3))
        for trade in numbered(2_000, start, start + DAY)
    ]
    with binance(trades) as (_, url):
        abc = Repaired(project_at(demo=url), "demo.spot.ABC-USDT")
        abc.land(ONE, landed_rows(frame_of(trades), keep_ids=True))
        abc.make(ONE)
        assert abc.repair(ONE) == [("jump", None, "the exchange has the same trades")]


def test_trades_that_the_exchange_does_not_have_either_are_told(
    binance: Any, project_at: Any
) -> None:
    start = day_start(ONE)
    trades = numbered(2_000, start - HOUR, start + DAY + HOUR)
    lost = {900, 901, 1_200}
    rows = landed_rows(frame_of(trades), keep_ids=True)
    inside = rows.filter(pl.col("ts").to_physical().is_between(start, start + DAY - 1))
    there = inside.filter(~pl.col("trade_id").is_in([*lost, 902, 903]))
    with binance([row for row in trades if row.id not in lost]) as (_, url):
        abc = Repaired(project_at(demo=url), "demo.spot.ABC-USDT")
        abc.land(ONE, there)
        abc.make(ONE)
        told = [each for each in abc.repair(ONE) if each[0] == "gap"]
        assert told == [
            ("gap", None, "the exchange doesn't have 2 of the trades either"),
            ("gap", None, "the exchange has no trade in it either"),
        ]
        counts = abc.lake.read("quality", **abc.keys(ONE)).filter(pl.col("kind") == "gap")
        assert counts["invalidates"].to_list() == [True, True], "what is left says so"


EOS = instrument("kraken.spot.EOS-USD")
DAY_ONE = date(2025, 1, 6)
START = day_start(DAY_ONE)


def spread(first: int, last: int, step: int, key: int = 0) -> list[Trade]:
    return [
        Trade(key + k, ts, 3.0, 1.0 + k % 7, buyer_maker=k % 2 == 0)
        for k, ts in enumerate(range(START + first, START + last, step))
    ]


def rows_of(trades: list[Trade]) -> pl.DataFrame:
    return landed_rows(frame_of(trades), keep_ids=False)


def test_a_silence_without_ids_is_asked_for_by_its_times(kraken: Any, project_at: Any) -> None:
    trades = spread(-HOUR, DAY + HOUR, 5 * MINUTE)
    quiet = (START + 6 * HOUR, START + 11 * HOUR)
    there = [row for row in trades if not quiet[0] < row.ts < quiet[1]]
    with kraken(trades) as (exchange, url):
        eos = Repaired(project_at(kraken=url), str(EOS.id))
        eos.land(DAY_ONE, rows_of([row for row in there if START <= row.ts < START + DAY]))
        eos.make(DAY_ONE)
        ((kind, repaired, why),) = eos.repair(DAY_ONE)
        assert (kind, why) == ("silence", None)
        assert repaired is not None
        assert repaired.startswith("59 trades of rest kraken")
        asked = len(exchange.asked)
        assert eos.repair(DAY_ONE) == []
        assert len(exchange.asked) == asked
    assert eos.ticks(DAY_ONE).height == 288
    assert eos.invalid(DAY_ONE) == 0


def test_a_silence_that_the_exchange_has_no_trade_of_either_stays(
    kraken: Any, project_at: Any
) -> None:
    quiet = (START + 6 * HOUR, START + 11 * HOUR)
    trades = [
        row for row in spread(-HOUR, DAY + HOUR, 5 * MINUTE) if not quiet[0] < row.ts < quiet[1]
    ]
    with kraken(trades) as (_, url):
        eos = Repaired(project_at(kraken=url), str(EOS.id))
        eos.land(DAY_ONE, rows_of([row for row in trades if START <= row.ts < START + DAY]))
        eos.make(DAY_ONE)
        told = eos.repair(DAY_ONE)
    assert told == [("silence", None, "the exchange has no trade in it either")]
    assert len(eos.lake.parts("raw_trades", **eos.keys(DAY_ONE))) == 1


def test_a_day_with_ids_is_not_mixed_with_trades_without(kraken: Any, project_at: Any) -> None:
    there = [row for row in spread(0, DAY, 5 * MINUTE, key=1) if row.id not in range(60, 120)]
    with kraken([]) as (_, url):
        eos = Repaired(project_at(kraken=url), str(EOS.id))
        eos.land(DAY_ONE, landed_rows(frame_of(there), keep_ids=True))
        eos.make(DAY_ONE)
        told = eos.repair(DAY_ONE)
    assert {why for _, _, why in told} == {"the day has ids, and trades of kraken come otherwise"}


def test_two_equal_trades_of_a_silence_are_two(kraken: Any, project_at: Any) -> None:
    trades = spread(-HOUR, DAY + HOUR, 5 * MINUTE)
    quiet = (START + 6 * HOUR, START + 11 * HOUR)
    there = [row for row in trades if not quiet[0] < row.ts < quiet[1]]
    at = START + 8 * HOUR + SECOND
    twins = [Trade(10_000 + k, at, 3.0, 1.0, buyer_maker=True) for k in range(2)]
    with kraken([*there, *twins]) as (_, url):
        eos = Repaired(project_at(kraken=url), str(EOS.id))
        eos.land(DAY_ONE, rows_of([row for row in there if START <= row.ts < START + DAY]))
        eos.make(DAY_ONE)
        eos.repair(DAY_ONE)
    assert eos.ticks(DAY_ONE).filter(pl.col("ts").to_physical() == at).height == 2


def test_times_that_a_file_has_in_milliseconds_contradict_no_microseconds(
    binance: Any, project_at: Any
) -> None:
    start = day_start(ONE)
    trades = numbered(2_000, start - HOUR, start + DAY + HOUR)
    inside = [row for row in trades if start <= row.ts < start + DAY]
    rough = [row._replace(ts=row.ts // 1_000 * 1_000) for row in inside]
    with binance(trades) as (exchange, url):
        abc = Repaired(project_at(demo=url), "demo.spot.ABC-USDT")
        rows = landed_rows(frame_of(rough), keep_ids=True)
        abc.land(ONE, pl.concat([rows[:300], rows[303:]]))
        wrong = rows.with_columns(
            price=pl.when(_PLACE.is_in(range(40, 60))).then(9.0).otherwise("price")
        )
        abc.land(ONE, pl.concat([wrong[:300], wrong[303:]]))
        abc.make(ONE)
        asked = len(exchange.asked)
        told = abc.repair(ONE)
        assert all(repaired is not None and why is None for _, repaired, why in told)
        assert len(exchange.asked) - asked <= len(told), "a question for each span at most"
    ticks = abc.ticks(ONE)
    assert ticks.height == len(inside)
    assert ticks["price"].to_list() == [row.price for row in inside]
    assert abc.lake.read("quality", **abc.keys(ONE)).filter("invalidates").is_empty()
