"""A journal is told again with the same bits, and one that was tampered with is found out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from shutil import copyfile, rmtree
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.live.parity_world import (
    BEGIN,
    HOUR,
    INSTRUMENT,
    NAME,
    NEXT,
    SCORER,
    Traded,
    news,
    see_to_exits,
    trade,
)
from vostok_core.errors import MissingPartition
from vostok_core.lake.live_tables import PARITY_KINDS
from vostok_core.lake.schemas import validate
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TIME, table
from vostok_core.live.parity import REQUIRED, Proof, prove
from vostok_core.live.retell import tell_bars
from vostok_core.live.shipped import Beginning, Shipped
from vostok_core.market.ticks import LastTick
from vostok_core.times import DAY, MINUTE, SECOND, day_of, day_start
from vostok_core.trading.config import EngineConfig
from vostok_live.news.rows import scores_frame
from vostok_live.shipping import ship

PLACE = {"strategy": "tiny", "instrument": NAME}
START = day_start(BEGIN)
NOON = START + 12 * HOUR


@dataclass
class Tampered:
    """A copy of the shipped journal, in which something is changed."""

    lake: Lake

    def read(self, name: str, day: date = BEGIN) -> pl.DataFrame:
        return self.lake.read(name, **PLACE, date=day)

    def write(self, name: str, frame: pl.DataFrame, day: date = BEGIN) -> None:
        self.lake.write(name, frame, code_version="t", **PLACE, date=day)

    def nudge(self, name: str, column: str, row: pl.Expr, day: date = BEGIN) -> None:
        """Move one double to its neighbour."""
        frame = self.read(name, day)
        assert frame.filter(row).height == 1
        value = frame.filter(row)[column][0]
        other = pl.lit(float(np.nextafter(value, np.inf)))
        changed = pl.when(row).then(other).otherwise(pl.col(column)).alias(column)
        self.write(name, frame.with_columns(changed), day)

    def prove(self, day: date = BEGIN) -> Proof:
        (proof,) = prove(self.lake, "tiny", INSTRUMENT, [day], SCORER)
        return proof


@pytest.fixture
def tampered(traded: Traded, tmp_path: Path) -> Tampered:
    return Tampered(traded.world.copy(tmp_path / "lake").lake)


def at(ts: int) -> pl.Expr:
    return pl.col("ts") == pl.lit(ts).cast(TIME)


def an_event(tampered: Tampered) -> int:
    """A bar on which a decision was told, after noon."""
    steps = tampered.read("live_steps").filter("event", pl.col("withheld").is_null())
    ts = steps["ts"].to_physical()
    return int(ts.filter(ts > NOON)[0])


def wrong(proof: Proof) -> dict[str, int]:
    """How many values differ, by kind."""
    found = {kind: tally.compared - tally.equal for kind, tally in proof.tallies.items()}
    return {kind: count for kind, count in found.items() if count}


def test_what_was_journaled_is_told_again_with_the_same_bits(traded: Traded) -> None:
    """Through a kill in the middle of a bar, another model, late and lost trades, and a month's
    end."""
    first, second = prove(traded.lake, "tiny", INSTRUMENT, [NEXT, BEGIN], SCORER)
    assert (first.day, second.day) == (BEGIN, NEXT)
    for proof in (first, second):
        assert proof.holds, proof.differences[:3]
        assert proof.verdict == "holds"
        assert (proof.differences, proof.reasons) == ([], [])
    counts = {kind: tally.compared for kind, tally in first.tallies.items()}
    assert tuple(counts) == PARITY_KINDS
    fields = len(EngineConfig.from_strategy(traded.world.strategy).to_json())
    assert counts["runs"] == 1 + 2 * fields
    assert counts["bars"] == 1440 * 17
    assert counts["sentiment"] == 1440 * 3
    assert counts["features"] == 1440 * 65
    assert counts["events"] == 1440 * 2
    assert counts["scores"] == counts["probabilities"] == counts["decisions"] / 3 > 100
    assert counts["withheld"] > 2 * counts["scores"] - 9  # each, and when it was asked about
    assert counts["heard"] == 1440
    assert counts["answers"] > 1440
    assert counts["commands"] > 100
    steps = traded.lake.read("live_steps", **PLACE, date=BEGIN)
    assert steps["bundle"].n_unique() == steps["run"].n_unique() == 2
    withheld = dict(steps["withheld"].drop_nulls().value_counts().iter_rows())
    assert withheld.keys() == {"test", "late"}
    assert min(withheld.values()) > 3
    assert (
        traded.lake.read("live_steps", **PLACE, date=NEXT)["bar_valid"].value_counts().height == 2
    )


def test_days_that_are_proven_one_by_one_say_the_same(traded: Traded) -> None:
    both = prove(traded.lake, "tiny", INSTRUMENT, [BEGIN, NEXT], SCORER)
    alone = [prove(traded.lake, "tiny", INSTRUMENT, [d], SCORER)[0] for d in (BEGIN, NEXT)]
    assert [proof.frame().rows() for proof in alone] == [proof.frame().rows() for proof in both]


def test_the_result_fits_its_table(traded: Traded, tampered: Tampered) -> None:
    tampered.nudge("live_steps", "probability", at(an_event(tampered)))
    for proof in (*prove(traded.lake, "tiny", INSTRUMENT, [BEGIN], SCORER), tampered.prove()):
        validate(table("parity"), proof.frame(), "here")
        assert proof.frame()["kind"].to_list() == list(PARITY_KINDS)


# One bit of what was journaled


def test_a_price_that_is_a_bit_off_is_found_at_its_bar(tampered: Tampered) -> None:
    bar = tampered.read("live_steps").filter(at(NOON))
    tampered.nudge("live_ticks", "price", pl.col("trade_id") == bar["last_id"][0])
    proof = tampered.prove()
    assert proof.verdict == "differs"
    first = next(each for each in proof.differences if each.place == "bar_close")
    assert {each.ts for each in proof.differences if each.kind == "bars"} == {NOON}
    live, batch = (int(each.split()[0], 16) for each in (first.live, first.batch))
    assert batch - live == 1
    assert wrong(proof)["features"] > 1
    follows = next(each for each in proof.differences if each.kind == "features")
    assert (follows.ts, follows.why) == (NOON, "follows from bars")


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("bar_quote_volume", "bars"),
        ("sentiment_score_sum", "sentiment"),
        ("macd_signal", "features"),
        ("tone_6h", "features"),
        ("score", "scores"),
        ("probability", "probabilities"),
        ("threshold", "decisions"),
        ("sigma", "decisions"),
        ("reference", "decisions"),
    ],
)
def test_a_double_of_a_step_that_is_a_bit_off_is_found_alone(
    tampered: Tampered, column: str, kind: str
) -> None:
    ts = an_event(tampered)
    tampered.nudge("live_steps", column, at(ts))
    proof = tampered.prove()
    assert wrong(proof) == {kind: 1}
    (found,) = proof.differences
    assert (found.kind, found.ts, found.place) == (kind, ts, column)
    live, batch = (int(each.split()[0], 16) for each in (found.live, found.batch))
    assert abs(live - batch) == 1
    assert not proof.holds


def test_zero_and_its_negative_are_two_values(tampered: Tampered) -> None:
    steps = tampered.read("live_steps")
    quiet = steps.filter(sentiment_items=0.0, sentiment_score_sum=0.0)["ts"].to_physical()[9]
    changed = pl.when(at(quiet)).then(pl.lit(-0.0)).otherwise(pl.col("sentiment_score_sum"))
    tampered.write("live_steps", steps.with_columns(sentiment_score_sum=changed))
    proof = tampered.prove()
    assert wrong(proof) == {"sentiment": 1}
    assert proof.differences[0].live == "8000000000000000 (-0.0)"


@pytest.mark.parametrize(
    ("column", "kind"), [("bar_valid", "bars"), ("event", "events"), ("valid", "events")]
)
def test_a_truth_value_that_was_turned_is_found(tampered: Tampered, column: str, kind: str) -> None:
    steps = tampered.read("live_steps")
    turned = pl.when(at(NOON)).then(~pl.col(column)).otherwise(pl.col(column)).alias(column)
    tampered.write("live_steps", steps.with_columns(turned))
    proof = tampered.prove()
    assert wrong(proof)[kind] == 1
    found = next(each for each in proof.differences if each.kind == kind)
    assert (found.ts, found.place) == (NOON, column)


def test_a_decision_of_which_the_engine_heard_other_bits_is_found(tampered: Tampered) -> None:
    ts = an_event(tampered)
    events = tampered.read("live_events")
    body = next(b for b in events["body"] if f'"BarClosed","ts":{ts},' in b)
    told = json.loads(body)
    told["decision"]["sigma"] = float(np.nextafter(told["decision"]["sigma"], 1))
    changed = json.dumps(told, separators=(",", ":"))
    bodies = events["body"].replace(body, changed)
    tampered.write("live_events", events.with_columns(body=bodies))
    found = next(each for each in tampered.prove().differences if each.kind == "heard")
    assert (found.ts, found.place) == (ts, "decision.sigma")


def test_a_score_of_news_that_is_a_bit_off_is_found_in_its_bar(tampered: Tampered) -> None:
    news = tampered.read("live_news").sort("available_at")
    at_noon = news.filter(pl.col("available_at") > pl.lit(NOON).cast(TIME)).row(0, named=True)
    tampered.nudge("live_news", "score", pl.col("item_id") == at_noon["item_id"])
    proof = tampered.prove()
    found = next(each for each in proof.differences if each.kind == "sentiment")
    ts = int(at_noon["available_at"].timestamp() * SECOND)
    assert (found.ts, found.place) == (-(-ts // MINUTE) * MINUTE, "sentiment_score_sum")
    assert "bars" not in wrong(proof)
    assert (
        next(e for e in proof.differences if e.kind == "features").why == "follows from sentiment"
    )


def test_a_model_that_did_not_speak_is_found(tampered: Tampered, traded: Traded) -> None:
    ts = an_event(tampered)
    other = pl.lit(traded.world.models[0].sha256)
    steps = tampered.read("live_steps")
    changed = pl.when(at(ts)).then(other).otherwise(pl.col("bundle")).alias("bundle")
    tampered.write("live_steps", steps.with_columns(changed))
    proof = tampered.prove()
    assert {each.ts for each in proof.differences} == {ts}
    assert {"scores", "decisions", "heard"} <= wrong(proof).keys()


# What the engine was told, and what was withheld from it


def tell_runs(tampered: Tampered, column: str, change: Callable[[Any], Any]) -> None:
    """Change what was written down of the starts."""
    runs = tampered.read("live_runs")
    values = [change(value) for value in runs[column]]
    told = pl.Series(column, values, dtype=runs.schema[column])
    tampered.write("live_runs", runs.with_columns(told))


@pytest.mark.parametrize(
    "name",
    [
        "run", "horizon_us", "take_profit", "stop_loss", "fraction", "taker_fee_bps", "latency_us",
        "max_daily_loss", "max_drawdown", "cover_within_us", "retry_us",
    ],
)  # fmt: skip
def test_an_engine_that_was_told_something_else_is_found(tampered: Tampered, name: str) -> None:
    def change(text: str) -> str:
        told = json.loads(text)
        value = told[name]
        told[name] = (
            f"{value}x" if isinstance(value, str)
            else value + 1 if isinstance(value, int)
            else float(np.nextafter(value, 0))
        )  # fmt: skip
        return json.dumps(told)

    tell_runs(tampered, "config", change)
    proof = tampered.prove()
    places = {each.place for each in proof.differences if each.kind == "runs"}
    assert places >= {f"{name} of the engine of run {run}" for run in (1, 2)}
    assert proof.verdict == "differs"


def test_an_engine_of_another_speed_is_found(tampered: Tampered) -> None:
    tell_runs(tampered, "speed", lambda speed: speed * 1.5)
    proof = tampered.prove()
    assert wrong(proof) == {"runs": 6}
    assert {each.place.split()[0] for each in proof.differences} == {
        "latency_us", "cover_within_us", "retry_us",
    }  # fmt: skip


def test_a_run_whose_first_bundle_is_gone_is_named(tampered: Tampered) -> None:
    tell_runs(tampered, "bundle", lambda _: "0" * 64)
    proof = tampered.prove()
    assert (proof.verdict, proof.reasons) == ("untold", ["there is no bundle"])
    assert proof.tallies["runs"].untold == 2


def withhold(tampered: Tampered, before: str | None, after: str | None) -> int:
    """Give a decision another reason; the end of its bar."""
    steps = tampered.read("live_steps")
    same = pl.col("withheld").is_null() if before is None else pl.col("withheld") == before
    ts = int(steps.filter("event", same, ~at(NOON))["ts"].to_physical()[-1])
    changed = pl.when(at(ts)).then(pl.lit(after)).otherwise(pl.col("withheld"))
    tampered.write("live_steps", steps.with_columns(withheld=changed))
    return ts


@pytest.mark.parametrize(
    ("before", "after", "batch", "kinds"),
    [
        ("late", "test", "late", {"withheld"}),
        ("late", "missed", "late", {"withheld"}),
        ("late", None, "late", {"withheld", "heard"}),
        ("test", "late", "told, or another reason", {"withheld"}),
        ("test", "missed", "told, or another reason", {"withheld"}),
        (None, "late", "told, or another reason", {"withheld", "heard"}),
        ("test", None, None, {"heard"}),
        (None, "test", None, {"heard"}),
    ],
)
def test_a_decision_that_is_said_to_have_been_withheld_otherwise_is_found(
    tampered: Tampered, before: str | None, after: str | None, batch: str | None, kinds: set[str]
) -> None:
    ts = withhold(tampered, before, after)
    proof = tampered.prove()
    assert wrong(proof) == dict.fromkeys(kinds, 1)
    assert {each.ts for each in proof.differences} == {ts}
    if batch is not None:
        found = next(each for each in proof.differences if each.kind == "withheld")
        assert (found.live, found.batch) == (after or "told", batch)


def test_a_decision_that_is_withheld_where_none_was_due_is_found(tampered: Tampered) -> None:
    steps = tampered.read("live_steps")
    ts = int(steps.filter(~pl.col("event"))["ts"].to_physical()[-1])
    changed = pl.when(at(ts)).then(pl.lit("late")).otherwise(pl.col("withheld"))
    tampered.write("live_steps", steps.with_columns(withheld=changed))
    proof = tampered.prove()
    assert wrong(proof) == {"withheld": 1}
    assert proof.differences[0].batch == "no decision was due"


def test_a_decision_that_was_asked_about_after_the_engine_heard_of_it_is_found(
    tampered: Tampered,
) -> None:
    ts = an_event(tampered)
    steps = tampered.read("live_steps")
    moved = pl.lit(ts + 3 * SECOND).cast(TIME)
    changed = pl.when(at(ts)).then(moved).otherwise(pl.col("asked_ts"))
    tampered.write("live_steps", steps.with_columns(asked_ts=changed))
    proof = tampered.prove()
    assert wrong(proof) == {"withheld": 1}
    assert (proof.differences[0].ts, proof.differences[0].place) == (ts, "asked_ts")


def test_a_bound_that_was_another_is_found(tampered: Tampered) -> None:
    tell_runs(tampered, "decide_within", lambda within: within + SECOND)
    proof = tampered.prove()
    assert wrong(proof).keys() == {"withheld"}
    assert {(each.live, each.batch) for each in proof.differences} == {
        ("late", "told, or another reason")
    }


def test_decisions_that_were_missed_are_those_whose_bars_had_closed(
    traded: Traded, tmp_path: Path
) -> None:
    """The daemon is killed between a cut and what is made of its bar."""
    steps = traded.lake.read("live_steps", **PLACE, date=BEGIN)
    due = steps.filter("event", pl.col("withheld").is_null())["ts"].to_physical()
    died = int(due.filter(due > START + HOUR)[0])
    world = traded.world.copy(tmp_path / "lake")
    desk = trade(world, tmp_path / "state", died)
    ship(desk.path, world.lake, "tiny", NAME)
    tampered = Tampered(world.lake)
    steps = tampered.read("live_steps").filter(at(died))
    assert steps.select("run", "withheld", "asked_ts").row(0) == (2, "missed", None)
    assert tampered.prove().holds
    run = Shipped(world.lake, "tiny", NAME).runs()[1]
    assert run.cut_before == died
    withhold(tampered, "missed", "late")
    proof = tampered.prove()
    assert wrong(proof) == {"withheld": 1}
    assert (proof.differences[0].live, proof.differences[0].batch) == ("late", "missed")


# Something that is missing, or stands elsewhere


def test_a_cut_that_is_missing_is_found_and_nothing_after_it_is_told(tampered: Tampered) -> None:
    tampered.write("live_cuts", tampered.read("live_cuts").filter(~at(NOON)))
    proof = tampered.prove()
    assert wrong(proof) == {"bars": 1}
    (first,) = proof.differences
    assert (first.kind, first.ts, first.place) == ("bars", NOON, "cut")
    assert "no cut closed the bar" in first.why
    assert proof.tallies["features"].untold == 1440 - 719
    assert proof.tallies["features"].compared == 719 * 65
    assert proof.verdict == "differs"


def test_the_last_cut_that_is_missing_is_found(tampered: Tampered) -> None:
    cuts = tampered.read("live_cuts", NEXT)
    tampered.write("live_cuts", cuts.head(-1), NEXT)
    proof = tampered.prove(NEXT)
    (first,) = proof.differences
    assert (first.kind, first.place) == ("bars", "bar")
    assert first.ts == int(cuts["ts"].to_physical()[-1])
    assert proof.tallies["features"].untold == 1


def test_a_trade_that_is_missing_is_found(tampered: Tampered) -> None:
    bar = tampered.read("live_steps").filter(at(NOON))
    ticks = tampered.read("live_ticks")
    tampered.write("live_ticks", ticks.filter(pl.col("trade_id") != bar["first_id"][0]))
    first = tampered.prove().differences[0]
    assert (first.kind, first.ts) == ("bars", NOON)


def test_the_last_trade_of_a_bar_that_is_missing_is_found(tampered: Tampered) -> None:
    bar = tampered.read("live_steps").filter(at(NOON))
    ticks = tampered.read("live_ticks")
    tampered.write("live_ticks", ticks.filter(pl.col("trade_id") != bar["last_id"][0]))
    first = tampered.prove().differences[0]
    assert (first.ts, first.place) == (NOON, "cut")
    assert "can't be told again: the newest trade is" in first.why


def test_a_step_that_is_missing_is_found(tampered: Tampered) -> None:
    tampered.write("live_steps", tampered.read("live_steps").filter(~at(NOON)))
    proof = tampered.prove()
    assert wrong(proof) == {"bars": 1, "heard": 1}
    bar, heard = proof.differences
    assert (bar.ts, bar.live, bar.batch) == (NOON, "none", "a bar")
    assert (heard.ts, heard.live) == (NOON, "told of a bar")


def test_a_bar_of_which_the_engine_was_not_told_is_found(tampered: Tampered) -> None:
    events = tampered.read("live_events")
    lost = events.filter(pl.col("body").str.contains(f'"BarClosed","ts":{NOON},'))["seq"][0]
    tampered.write("live_events", events.filter(pl.col("seq") != lost))
    proof = tampered.prove()
    assert wrong(proof) == {"heard": 1}
    assert proof.reasons == [f"event {lost} was not shipped"]
    assert proof.tallies["answers"].untold == events.filter(pl.col("seq") > lost).height
    assert not proof.holds


def test_commands_in_another_order_are_found_at_their_event(tampered: Tampered) -> None:
    commands = tampered.read("live_commands")
    entry = commands.filter(kind="PlaceList").row(3, named=True)
    seq = entry["seq"]
    swapped = pl.when(pl.col("seq") == seq, pl.col("position") < 2).then(1 - pl.col("position"))
    tampered.write(
        "live_commands", commands.with_columns(position=swapped.otherwise(pl.col("position")))
    )
    proof = tampered.prove()
    assert wrong(proof) == {"answers": 1, "commands": 2}
    answer, *each = proof.differences
    assert answer.place == f"event {seq}"
    assert [found.place for found in each] == [f"event {seq}, command {n}" for n in (0, 1)]
    assert answer.ts == int(entry["ts"].timestamp() * SECOND)


def test_a_command_that_was_never_answered_is_found(tampered: Tampered) -> None:
    commands = tampered.read("live_commands")
    last = commands.row(-1, named=True)
    tampered.write("live_commands", commands.head(-1))
    proof = tampered.prove()
    assert wrong(proof) == {"answers": 1, "commands": 1}
    assert proof.differences[-1].place == f"event {last['seq']}, command {last['position']}"
    assert proof.differences[-1].live == "nothing"


def test_an_engine_that_began_with_something_else_is_found(tampered: Tampered) -> None:
    runs = tampered.read("live_runs")
    known = json.loads(runs["engine"][1])
    known["account"]["cash"] += 1
    tampered.write(
        "live_runs", runs.with_columns(engine=pl.Series([runs["engine"][0], json.dumps(known)]))
    )
    proof = tampered.prove()
    assert wrong(proof) == {"runs": 1}
    assert proof.differences[0].place == "what the engine knew when run 2 began"


def test_an_event_that_a_clock_behind_midnight_put_under_the_day_before_is_found_there(
    tampered: Tampered,
) -> None:
    """The clock is set back between the events of a day, which are those of two then."""
    events = tampered.read("live_events", NEXT)
    quiet = next(
        seq
        for seq, body in events.filter(kind="BarClosed").select("seq", "body").iter_rows()
        if not json.loads(body)["decision"] and json.loads(body)["ts"] > day_start(NEXT) + MINUTE
    )
    before_midnight = pl.lit(day_start(NEXT) - SECOND).cast(TIME)
    for name in ("live_events", "live_commands"):
        first, second = tampered.read(name), tampered.read(name, NEXT)
        moved = second.filter(seq=quiet).with_columns(ts=before_midnight)
        tampered.write(name, pl.concat([first, moved]))
        tampered.write(name, second.filter(pl.col("seq") != quiet), NEXT)
    for day in (BEGIN, NEXT):
        proof = tampered.prove(day)
        assert proof.holds, (day, proof.reasons, proof.differences[:3])


# What can't be told again


def test_a_lake_whose_bars_have_changed_is_named(tampered: Tampered) -> None:
    day = BEGIN - timedelta(days=1)
    keys = {"instrument": NAME, "interval": "1m", "date": day}
    bars = tampered.lake.read("bars", **keys)
    tampered.lake.write(
        "bars", bars.with_columns(volume=pl.col("volume") + 1), code_version="t", **keys
    )
    proof = tampered.prove()
    assert proof.verdict == "untold"
    assert [why for why in proof.reasons if "have changed since the run began" in why]
    for kind in REQUIRED:
        assert (proof.tallies[kind].compared, proof.tallies[kind].untold) == (0, 1440)
    assert proof.tallies["answers"].compared  # the engine needs no bars of the lake
    why = proof.frame().filter(kind="features")["why"].item()
    assert "not those that it walked over" in why


def test_a_lake_that_reaches_farther_back_is_named(tampered: Tampered, traded: Traded) -> None:
    """Features that walk from there would be others."""
    first = min(traded.lake.days("bars", instrument=NAME, interval="1m"))
    keys = {"instrument": NAME, "interval": "1m"}
    bars = traded.lake.read("bars", **keys, date=first)
    tampered.lake.write("bars", bars, code_version="t", **keys, date=first - timedelta(days=1))
    proof = tampered.prove()
    assert proof.verdict == "untold"
    assert "they reach back to" in proof.reasons[0]


def test_a_bundle_that_is_gone_is_named(tampered: Tampered, traded: Traded) -> None:
    gone = traded.world.models[1].sha256
    rmtree(tampered.lake.root / "models" / "bundles" / gone)
    proof = tampered.prove()
    assert proof.verdict == "untold"
    assert proof.reasons == ["there is no bundle"]
    spoken = tampered.read("live_steps").filter(bundle=gone).height
    assert proof.tallies["features"].untold == spoken
    assert proof.tallies["features"].compared == (1440 - spoken) * 65


def test_a_last_bar_whose_event_is_still_to_be_shipped_is_named(
    traded: Traded, tmp_path: Path
) -> None:
    """It is heard after midnight, and so stands under the day after."""
    lake = traded.world.copy(tmp_path / "lake").lake
    rmtree(lake.partition("live_events", **PLACE, date=NEXT))
    (proof,) = prove(lake, "tiny", INSTRUMENT, [BEGIN], SCORER)
    assert proof.reasons == ["the events of the days after have not been shipped"]
    assert (proof.verdict, proof.tallies["heard"].untold) == ("untold", 1)
    assert proof.tallies["heard"].compared == 1439


def test_features_that_read_sentiment_need_a_scorer(traded: Traded) -> None:
    (proof,) = prove(traded.lake, "tiny", INSTRUMENT, [BEGIN])
    assert proof.verdict == "untold"
    assert "no scorer was given" in proof.reasons[0]


def test_a_day_of_which_nothing_was_shipped_is_refused(traded: Traded) -> None:
    with pytest.raises(MissingPartition, match="has not been shipped for 2024-03-05"):
        prove(traded.lake, "tiny", INSTRUMENT, [date(2024, 3, 5)], SCORER)


def test_a_day_on_which_nothing_was_compared_is_not_proven(tampered: Tampered) -> None:
    for name in ("live_steps", "live_events", "live_commands"):
        tampered.write(name, tampered.read(name).head(0))
    proof = tampered.prove()
    assert not proof.holds
    assert proof.verdict == "untold"


def test_bars_that_were_cut_and_of_which_no_step_says_anything_are_counted(
    tampered: Tampered,
) -> None:
    """Whatever else of the day is equal."""
    steps, events = tampered.read("live_steps", NEXT), tampered.read("live_events", NEXT)
    tampered.write("live_steps", steps.head(0), NEXT)
    tampered.write("live_events", events.filter(pl.col("kind") != "BarClosed"), NEXT)
    proof = tampered.prove(NEXT)
    assert proof.tallies["runs"].compared
    assert proof.verdict == "untold"
    assert {kind: proof.tallies[kind].untold for kind in REQUIRED} == dict.fromkeys(REQUIRED, 119)
    assert "nothing says what was made of them" in proof.reasons


def test_a_proof_is_what_its_table_says(traded: Traded, tampered: Tampered) -> None:
    tampered.nudge("live_steps", "probability", at(an_event(tampered)))
    right = prove(traded.lake, "tiny", INSTRUMENT, [BEGIN], SCORER)[0]
    rmtree(tampered.lake.root / "models" / "bundles")
    nothing = table("parity").empty()
    for proof in (right, tampered.prove()):
        assert Proof.of(BEGIN, proof.frame()).verdict == proof.verdict
    assert not Proof.of(BEGIN, nothing).holds


# Days on which a run saw to exits alone


@pytest.fixture
def exits(traded: Traded, tmp_path: Path) -> Tampered:
    """The journal, in which a run without bars goes on days after."""
    lake = traded.world.copy(tmp_path / "lake").lake
    path = tmp_path / "journal.sqlite"
    copyfile(traded.journal, path)
    see_to_exits(path, [ALONE])
    ship(path, lake, "tiny", NAME)
    return Tampered(lake)


ALONE = NEXT + timedelta(days=5)


def test_a_day_without_bars_is_proven_by_answers_and_what_the_engine_knew(exits: Tampered) -> None:
    assert exits.read("live_steps", ALONE).is_empty()
    proof = exits.prove(ALONE)
    assert proof.verdict == "holds", (proof.reasons, proof.differences[:3])
    compared = {kind: tally.compared for kind, tally in proof.tallies.items() if tally.compared}
    assert compared.keys() <= {"runs", "answers", "commands"}
    assert compared["answers"] == 2
    assert compared["runs"] > 1


def test_an_answer_of_a_day_without_bars_that_differs_is_found(exits: Tampered) -> None:
    event = exits.read("live_events", ALONE).row(0, named=True)
    commands = exits.read("live_commands", ALONE)
    other = exits.read("live_commands").head(1).with_columns(
        seq=pl.lit(event["seq"]), position=pl.lit(99), ts=pl.lit(event["ts"]).cast(TIME)
    )  # fmt: skip
    exits.write("live_commands", pl.concat([commands, other.cast(commands.schema)]), ALONE)
    proof = exits.prove(ALONE)
    assert proof.verdict == "differs"
    assert wrong(proof).keys() == {"answers", "commands"}


def test_an_event_of_a_day_without_bars_that_is_missing_is_named(exits: Tampered) -> None:
    events = exits.read("live_events", ALONE)
    exits.write("live_events", events.tail(1), ALONE)
    proof = exits.prove(ALONE)
    assert (proof.verdict, proof.tallies["answers"].untold) == ("untold", 1)
    assert proof.reasons == [f"event {events['seq'][0]} was not shipped"]


# Long runs


def test_bars_that_are_told_from_a_later_day_on_are_the_same(traded: Traded) -> None:
    shipped = Shipped(traded.lake, "tiny", NAME)
    (beginning,) = {run.beginning for run in shipped.runs()}
    until = START + DAY + 2 * HOUR
    whole, part = (tell_bars(shipped, INSTRUMENT, beginning, d, until) for d in (BEGIN, NEXT))
    assert len(part.rows) == 119
    for name in ("rows", "ids", "valid"):
        assert getattr(part, name).tobytes() == getattr(whole, name)[1440:].tobytes()
    assert not part.valid.all()


def test_bars_that_are_told_from_a_later_day_on_know_of_a_late_trade_days_before(
    tmp_path: Path,
) -> None:
    """Silence is counted from the start of the bar that it counted in, not from its stamp."""
    lake, quiet = Lake.open(tmp_path), replace(INSTRUMENT, max_silence=46 * HOUR)
    ends = [START + k * MINUTE for k in range(1, 3 * 1440)]
    seen = {START + 9 * HOUR: 99, NOON: 100}  # until then no more than that trade was counted
    newest = [next((i for until, i in seen.items() if end <= until), 101) for end in ends]
    for n in range(3):
        day = BEGIN + timedelta(days=n)
        both = zip(ends, newest, strict=True)
        rows = [row for row in both if day_of(row[0] - 1) == day]
        cuts = [(ts, last_id, "timer", ts) for ts, last_id in rows]
        stamps = [(100, START + 9 * HOUR), (101, START + 10 * HOUR)] if n == 0 else []
        ticks = [(i, ts, 10.0, 1.0, False, None, None, ts) for i, ts in stamps]
        for name, content in (("live_cuts", cuts), ("live_ticks", ticks)):
            schema = table(name).schema
            physical = {key: pl.Int64 if kind == TIME else kind for key, kind in schema.items()}
            frame = pl.DataFrame(content, schema=physical, orient="row").cast(pl.Schema(schema))
            lake.write(name, frame, code_version="t", **PLACE, date=day)
    before = LastTick(trade_id=99, ts=START - SECOND, price=10.0, side=1)
    beginning = Beginning("1m", START, 100, before, "")
    shipped, last = Shipped(lake, "tiny", NAME), BEGIN + timedelta(days=2)
    whole, part = (tell_bars(shipped, quiet, beginning, d, ends[-1]) for d in (BEGIN, last))
    assert whole.broken is part.broken is None
    for name in ("rows", "ids", "valid"):
        assert getattr(part, name).tobytes() == getattr(whole, name)[-1439:].tobytes()
    assert part.valid.sum() == 10 * 60


def test_a_run_that_began_when_the_lake_had_grown_is_told_from_there(
    traded: Traded, tmp_path: Path
) -> None:
    world = traded.world.copy(tmp_path / "lake")
    desk = trade(world, tmp_path / "state")
    scores = scores_frame(news(np.random.default_rng(1), START, DAY, 9, "archive"))
    world.lake.write("sentiment_scores", scores, code_version="t", date=BEGIN)
    world.land(BEGIN)
    desk.run(day_start(NEXT) + 3 * HOUR, [(0, world.models[1])])
    ship(desk.path, world.lake, "tiny", NAME)
    runs = Shipped(world.lake, "tiny", NAME).runs()
    assert [run.beginning.begin_us for run in runs] == [START, START, START + DAY]
    for proof in prove(world.lake, "tiny", INSTRUMENT, [BEGIN, NEXT], SCORER):
        assert proof.holds, (proof.reasons, proof.differences[:3])
    steps = world.lake.read("live_steps", **PLACE, date=NEXT)
    assert steps["run"].unique().to_list() == [2, 3]


def test_steps_of_a_start_that_was_not_shipped_can_not_be_told_again(tampered: Tampered) -> None:
    runs = tampered.read("live_runs")
    tampered.write("live_runs", runs.head(-1))
    proof = tampered.prove()
    assert not proof.holds
    assert f"run {runs['run'][-1]} was not shipped" in proof.reasons
