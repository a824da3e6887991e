"""A decision is made on one whole backtest, and is recorded before anything enters service."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from tests.training.desk import SETTINGS, WEEK, Desk
from vostok_core.errors import MissingPartition, StalePartition
from vostok_core.hashing import hash_frame
from vostok_core.lake.tables import table
from vostok_core.models.bundle_folder import load_kept
from vostok_core.models.registry import pointer_path, promoted
from vostok_core.promotion.trials import trials
from vostok_core.times import day_start
from vostok_pipelines.evidence import BACKTEST_TABLES, read_backtest, write_backtest
from vostok_pipelines.training.configuration import configuration_hash

NAME = "test.spot.AAA-USD"


def test_a_week_of_evidence_is_refused_and_recorded_and_nothing_enters_service(desk) -> None:
    verdict = desk.decide()
    assert verdict.decision.decision == "refused"
    assert "min_days" in {rule.name for rule in verdict.decision.failed}
    assert verdict.bundle_ok
    assert not verdict.in_service
    assert desk.rows()["enters_service"].to_list() == [False] * desk.rows().height
    assert verdict.report.exists()
    assert (desk.lake.root / "reports/tiny/index.html").exists()
    assert desk.pointer is None
    assert not (desk.lake.root / "models/bundles").exists()


def test_a_promoted_model_carries_the_report_of_the_gate_that_promoted_it(desk) -> None:
    desk.excel()
    verdict = desk.decide()
    assert verdict.decision.promoted, verdict.decision.summary
    assert verdict.in_service
    assert verdict.standing == "it is in service"
    assert desk.rows()["enters_service"].all()
    bundle = promoted(desk.lake, *desk.place.values())
    _, report = load_kept(desk.lake.root / desk.pointer.bundle)
    gate = json.loads(report)
    assert gate["decision"] == "promoted"
    assert gate["bundle"] == bundle.sha256 == desk.rows()["bundle"][0]
    assert gate["configuration"] == desk.configuration
    assert [rule["name"] for rule in gate["rules"]] == desk.rows()["rule"].to_list()
    assert gate["evidence"] == {
        name: desk.lake.info(name, **desk.place, week=desk.week).content_hash
        for name in BACKTEST_TABLES
    }


def test_a_path_on_which_the_engine_halted_is_refused_however_well_it_did(desk) -> None:
    desk.excel()
    rows = [(day_start(desk.week) - 1, "kill switch: daily loss")]
    halts = pl.DataFrame(rows, schema={"ts": pl.Int64, "reason": pl.String}, orient="row")
    desk.rewrite("backtest_halts", halts.cast(table("backtest_halts").schema))
    verdict = desk.decide()
    assert [rule.name for rule in verdict.decision.failed] == ["never_halted"]
    assert desk.pointer is None
    (row,) = desk.rows().filter(pl.col("verdict") == "fail").iter_rows(named=True)
    assert (row["rule"], row["value"]) == ("never_halted", 1.0)
    said = "at 23:59 UTC (kill switch: daily loss)"
    assert said in row["reason"]
    assert verdict.report.read_text().count(said) == 3  # verdict, path and table of the gate


def test_deciding_again_changes_nothing(desk) -> None:
    desk.excel()

    def state() -> dict[str, bytes]:
        desk.decide()
        folders = [desk.lake.root / name for name in ("models", "promotions", "reports")]
        files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        return {str(path): path.read_bytes() for path in files}

    assert state() == state()


@pytest.mark.parametrize("name", BACKTEST_TABLES)
def test_a_backtest_of_another_configuration_is_not_judged(desk, name: str) -> None:
    desk.excel()
    desk.rewrite(name, version="another")
    with pytest.raises(StalePartition, match=f"{name} as another") as caught:
        desk.decide()
    assert caught.value.hint == (
        f"run `vostok materialize tiny/backtest --instrument {desk.place['instrument']} "
        f"--from {desk.week} --to {desk.week}`"
    )
    assert desk.pointer is None


@pytest.mark.parametrize("name", BACKTEST_TABLES)
def test_a_backtest_whose_tables_are_of_different_runs_is_not_judged(desk, name: str) -> None:
    desk.rewrite(name, inputs={"bars/2024-03-12": "other"})
    with pytest.raises(StalePartition, match="of different runs"):
        desk.decide()


def test_a_backtest_that_ends_too_early_is_not_judged(desk) -> None:
    daily = desk.lake.read("backtest_daily", **desk.place, week=desk.week)
    for shorter in (daily[:-1], daily[:0]):
        desk.rewrite("backtest_daily", shorter)
        with pytest.raises(StalePartition, match="not on the day before its Monday"):
            desk.decide()


def test_a_backtest_of_predictions_that_were_made_anew_since_is_not_judged(desk) -> None:
    info = desk.lake.info("predictions", **desk.place, week=desk.first)
    frame = desk.lake.read("predictions", **desk.place, week=desk.first)
    desk.write("predictions", desk.first, frame[1:], dict(info.inputs))
    with pytest.raises(StalePartition, match=f"before predictions/{desk.first}"):
        desk.decide()
    desk.backtest(desk.week)
    desk.decide()


def test_predictions_of_another_configuration_are_neither_traded_nor_logged(
    walked, strategy_of, tmp_path
) -> None:
    desk = Desk(walked.copy(tmp_path / "lake", without=("trials",)))
    edited = strategy_of(decision={"margin_bps": 3.0})
    other = configuration_hash(edited, desk.instrument, SETTINGS)
    with pytest.raises(StalePartition, match=f"another configuration than {other} in 1 weeks"):
        write_backtest(desk.lake, edited, desk.instrument, desk.week, other)
    assert trials(desk.lake, desk.place["instrument"]) == {}


def test_the_log_of_trials_is_counted_and_not_judged(desk) -> None:
    keys = {**desk.place, "configuration": desk.configuration}
    logged = desk.lake.read("trials", **keys)
    daily = desk.lake.read("backtest_daily", **desk.place, week=desk.week)
    assert logged.equals(daily)
    splendid = logged.with_columns(net_return=pl.lit(0.5))
    desk.lake.write("trials", splendid, code_version=desk.configuration, **keys)
    verdict = desk.decide()
    sharpe = next(f for f in verdict.decision.reported if f.name == "sharpe").value
    returns = daily["net_return"].to_numpy()
    assert sharpe == pytest.approx(returns.mean() / returns.std(ddof=1) * np.sqrt(365))


def test_a_path_is_logged_before_anyone_can_read_it(walked, tmp_path) -> None:
    desk = Desk(walked.copy(tmp_path / "lake", without=("trials", *BACKTEST_TABLES)))
    (desk.lake.root / BACKTEST_TABLES[0]).write_bytes(b"")  # nothing can be written there
    with pytest.raises(OSError, match=BACKTEST_TABLES[0]):
        desk.backtest(desk.week)
    (key,) = trials(desk.lake, desk.place["instrument"])
    assert key == (desk.strategy.name, desk.configuration)


@pytest.mark.parametrize("logged", [0, 5])
def test_a_path_that_was_not_counted_as_a_trial_is_not_judged(
    walked, tmp_path, logged: int
) -> None:
    desk = Desk(walked.copy(tmp_path / "lake", without=("trials",)))
    path = desk.lake.read("backtest_daily", **desk.place, week=desk.week)
    if logged:
        desk.log(path[:logged])
    with pytest.raises(StalePartition, match=f"has 7 days, and {logged} of them") as caught:
        desk.decide()
    assert f"tiny/backtest --instrument {NAME} --from {desk.week} --to" in caught.value.hint
    desk.backtest(desk.week)
    desk.decide()


def test_a_trial_that_reaches_further_and_began_later_is_mended_by_the_path_to_its_end(
    desk,
) -> None:
    path = desk.lake.read("backtest_daily", **desk.place, week=desk.week)
    desk.log(path.with_columns(pl.col("date") + WEEK))
    with pytest.raises(StalePartition, match="has 7 days, and 0 of them") as caught:
        desk.decide()
    assert f"--from {desk.week + WEEK} --to {desk.week + WEEK}" in caught.value.hint


def test_a_path_whose_predictions_would_be_others_now_is_not_judged(desk) -> None:
    desk.excel()
    features = {"pack": "core", "instrument": NAME, "interval": "1m", "date": desk.first}
    info = desk.lake.info("features", **features)
    frame = desk.lake.read("features", **features)
    corrected = frame.with_columns(pl.col("return_1") + 1e-9)
    desk.lake.write(
        "features", corrected, code_version=info.code_version, inputs=info.inputs, **features
    )
    with pytest.raises(StalePartition, match=f"{desk.first}: .*features/core have changed"):
        desk.decide()
    assert desk.pointer is None


def test_a_path_whose_model_was_trained_anew_is_not_judged(walked, strategy_of, tmp_path) -> None:
    desk = Desk(walked.copy(tmp_path / "lake"))
    desk.excel()
    labels = {**desk.place, "date": desk.first - timedelta(days=4)}
    info, frame = desk.lake.info("labels", **labels), desk.lake.read("labels", **labels)
    desk.lake.write(
        "labels", frame[1:], code_version=info.code_version, inputs=info.inputs, **labels
    )
    desk.train(desk.first)
    with pytest.raises(StalePartition, match=f"first in {desk.first}: model"):
        desk.decide()
    assert desk.pointer is None


def test_a_candidate_whose_labels_are_others_now_does_not_enter_service(desk) -> None:
    desk.excel()
    place = {**desk.place, "date": desk.week - timedelta(days=3)}  # learned from for that week only
    labels, info = desk.lake.read("labels", **place), desk.lake.info("labels", **place)
    version, inputs = info.code_version, info.inputs
    desk.lake.write("labels", labels[:-1], code_version=version, inputs=inputs, **place)
    verdict = desk.decide()
    assert [rule.name for rule in verdict.decision.failed] == ["bundle_integrity"]
    assert "unchanged inputs" in verdict.decision.failed[0].reason
    assert not verdict.bundle_ok
    assert desk.pointer is None
    desk.train(desk.week)
    assert desk.decide().in_service


def test_what_a_killed_decision_left_of_another_market_stops_no_decision(desk) -> None:
    folder = desk.lake.root / "promotions/strategy=tiny/instrument=test.spot.BBB-USD"
    (folder / f"week={desk.week}").mkdir(parents=True)
    (desk.lake.root / "promotions/strategy=tiny/instrument=test.spot.CCC-USD").mkdir()
    desk.excel()
    assert desk.decide().in_service


def test_who_is_refused_can_not_go_back_to_a_better_end(desk) -> None:
    desk.excel()
    path = desk.lake.read("backtest_daily", **desk.place, week=desk.week)
    further = path.tail(1).with_columns(pl.col("date") + WEEK)
    desk.log(pl.concat([path, further]))
    verdict = desk.decide()
    assert verdict.decision.promoted
    assert not verdict.in_service
    assert verdict.standing == (
        "not put in service: the configuration has been walked further than to this week, and a "
        "path whose end could be chosen promotes nothing; nothing is in service"
    )
    assert not desk.rows()["enters_service"].any()
    assert desk.pointer is None


def test_a_decision_that_was_cut_short_is_completed_though_a_later_week_was_walked(desk) -> None:
    desk.excel()
    desk.decide()
    pointer_path(desk.lake, *desk.place.values()).unlink()  # as if it had been killed before it
    path = desk.lake.read("backtest_daily", **desk.place, week=desk.week)
    desk.log(pl.concat([path, path.tail(1).with_columns(pl.col("date") + WEEK)]))
    assert desk.decide().in_service
    assert desk.pointer is not None
    assert len(desk.decisions()) == 1
    # Another decision of that week, on other evidence, goes back to an end that could be chosen.
    pointer_path(desk.lake, *desk.place.values()).unlink()
    trades = desk.lake.read("backtest_trades", **desk.place, week=desk.week)
    desk.rewrite("backtest_trades", trades.with_columns(net_return=pl.lit(0.06)))
    assert not desk.decide().in_service
    assert desk.pointer is None


def test_every_decision_of_a_week_is_kept_in_order(desk) -> None:
    assert not desk.decide().decision.promoted
    desk.decide()
    desk.excel()
    desk.decide()
    desk.decide()
    kept = desk.decisions()
    assert [(each.decision, each.enters_service) for each in kept] == [
        ("refused", False),
        ("promoted", True),
    ]
    place = {**desk.place, "week": desk.week}
    assert desk.lake.keys("gate_decisions", **place) == ["0001", "0002"]
    newest = desk.lake.load("gate_decisions", **place, number="0002")
    info, rows = desk.lake.load("promotions", **place)
    assert newest[1].equals(rows)
    assert (newest[0].inputs, newest[0].code_version) == (info.inputs, info.code_version)


def test_a_decision_from_before_there_was_a_log_is_logged_when_another_takes_its_place(
    desk,
) -> None:
    desk.decide()
    shutil.rmtree(desk.lake.root / "gate_decisions")
    before = desk.rows()
    assert [each.decision for each in desk.decisions()] == ["refused"]
    desk.excel()
    desk.decide()
    assert [each.decision for each in desk.decisions()] == ["refused", "promoted"]
    place = {**desk.place, "week": desk.week, "number": "0001"}
    assert desk.lake.read("gate_decisions", **place).equals(before)


def test_a_model_whose_week_is_refused_on_other_evidence_stays_in_service_and_that_is_said(
    desk,
) -> None:
    desk.excel()
    desk.decide()
    desk.rewrite("backtest_trades", table("backtest_trades").empty())
    verdict = desk.decide()
    assert not verdict.decision.promoted
    assert verdict.standing.startswith(
        f"the model of {desk.week}, which was promoted before, stays"
    )
    assert "`vostok model withdraw tiny" in verdict.standing
    assert desk.pointer is not None


def test_each_table_of_a_backtest_is_read_with_its_own_footer(desk) -> None:
    """Also while another run writes it: else a decision would name evidence that it never saw."""
    info, frame = desk.lake.load("backtest_daily", **desk.place, week=desk.week)
    others = [frame, frame.with_columns(net_return=pl.col("net_return") + 1e-6)]
    stop = threading.Event()

    def swap() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            desk.write("backtest_daily", desk.week, others[number % 2], dict(info.inputs))

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(swap)
        try:
            for _ in range(60):
                found, hashes = read_backtest(
                    desk.lake, desk.strategy, desk.instrument, desk.week, desk.configuration
                )
                assert {name: hash_frame(rows) for name, rows in found.items()} == hashes
        finally:
            stop.set()
        done.result()


def test_deciding_an_old_week_anew_leaves_the_later_model_in_service(desk) -> None:
    desk.excel()
    pointer = pointer_path(desk.lake, *desk.place.values())
    desk.decide()
    later = {**json.loads(pointer.read_text()), "week": str(desk.week + WEEK)}
    pointer.write_text(json.dumps(later))
    before = pointer.read_bytes()
    verdict = desk.decide()
    assert verdict.decision.promoted
    assert not verdict.in_service
    assert verdict.standing == (
        f"not in service: that of a later week is; in service is the model of {desk.week + WEEK}"
    )
    assert not desk.rows()["enters_service"].any()
    assert pointer.read_bytes() == before


OBSTACLES = {
    "report": ("reports", False),
    "copy": ("models/bundles", False),
    "log": ("gate_decisions", False),
    "row": ("promotions", False),
    "change": ("service", False),
    "page": ("reports/tiny/index.html", True),
}


@pytest.mark.parametrize("step", OBSTACLES)
def test_a_decision_cut_short_leaves_nothing_unexplained_in_service_and_can_be_repeated(
    desk, step: str
) -> None:
    desk.excel()
    name, folder = OBSTACLES[step]
    obstacle = desk.lake.root / name
    if folder:
        obstacle.mkdir(parents=True)
    else:
        obstacle.write_bytes(b"")
    with pytest.raises(OSError, match=name.split("/")[-1]):
        desk.decide()
    # Without the note of the change, or the page of reports, nothing lacks its reasons.
    assert (desk.pointer is None) == (step not in ("change", "page"))
    done = list(OBSTACLES).index(step)
    assert (desk.lake.root / "reports/tiny" / desk.place["instrument"]).is_dir() == (done > 0)
    assert (desk.lake.root / "models/bundles").is_dir() == (done > 1)
    assert len(desk.decisions()) == (done > 2)
    assert desk.lake.exists("promotions", **desk.place, week=desk.week) == (done > 3)
    if folder:
        obstacle.rmdir()
    else:
        obstacle.unlink()
    desk.decide()
    assert promoted(desk.lake, *desk.place.values()) is not None
    assert len(desk.decisions()) == 1
    (change,) = desk.lake.read("service", **desk.place).iter_rows(named=True)
    assert (change["by"], change["week"]) == ("gate", desk.week)


def test_a_path_whose_bars_are_gone_is_not_judged(desk) -> None:
    for file in (desk.lake.root / "bars").rglob("*.parquet"):
        file.unlink()
    with pytest.raises(MissingPartition, match="bars"):
        desk.decide()
