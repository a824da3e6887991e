"""A decision is made on one whole backtest, and is recorded before anything enters service."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from vostok_core.errors import MissingPartition, StalePartition
from vostok_core.lake.tables import table
from vostok_core.models.bundle_folder import load_kept
from vostok_core.models.registry import pointer_path, promoted, promotion
from vostok_core.project import Project
from vostok_core.promotion.trials import log_trial, trials
from vostok_core.settings import Settings
from vostok_core.times import day_start
from vostok_pipelines.evidence import BACKTEST_TABLES, write_backtest
from vostok_pipelines.promotion import decide
from vostok_pipelines.training.configuration import configuration_hash
from vostok_pipelines.training.predict import predict_week
from vostok_pipelines.training.train import train_week

NAME = "test.spot.AAA-USD"
SETTINGS = Settings()
WEEK = timedelta(weeks=1)


class Desk:
    """A lake with a week of predictions, the backtest of the week after, and that week's model."""

    def __init__(self, market) -> None:
        self.lake, self.strategy, self.instrument = market.lake, market.strategy, market.instrument
        self.first, self.week = market.week, market.week + WEEK
        self.configuration = configuration_hash(self.strategy, self.instrument, SETTINGS)
        self.place = {"strategy": self.strategy.name, "instrument": market.name}
        self.project = Project(Path("/nowhere"), SETTINGS, self.lake.root)

    def train(self, week: date) -> str:
        return train_week(self.lake, SETTINGS, self.strategy, self.instrument, week).sha256

    def predict(self, week: date) -> None:
        frame, inputs = predict_week(self.lake, SETTINGS, self.strategy, self.instrument, week)
        self.write("predictions", week, frame, inputs)

    def write(self, name: str, week: date, frame: pl.DataFrame, inputs: dict, version="") -> None:
        version = version or self.configuration
        self.lake.write(name, frame, code_version=version, inputs=inputs, **self.place, week=week)

    def backtest(self, week: date) -> None:
        write_backtest(self.lake, self.strategy, self.instrument, week, self.configuration)

    def rewrite(self, name: str, frame: pl.DataFrame | None = None, **changes: object) -> None:
        """Write a table of the backtest again, as it was but for what is given."""
        info = self.lake.info(name, **self.place, week=self.week)
        frame = self.lake.read(name, **self.place, week=self.week) if frame is None else frame
        inputs = {**info.inputs, **changes.get("inputs", {})}
        self.write(name, self.week, frame, inputs, changes.get("version", ""))

    def log(self, path: pl.DataFrame) -> None:
        log_trial(
            self.lake,
            **self.place,
            configuration=self.configuration,
            daily=path,
            code_version=self.configuration,
        )

    def excel(self) -> None:
        """Make the backtest that of a strategy that anyone would promote."""
        days = [self.week - timedelta(days=i) for i in range(40, 0, -1)]
        rng = np.random.default_rng(0)
        daily = {
            "date": days,
            "net_return": 0.02 + 0.01 * rng.standard_normal(40),
            "benchmark_return": 0.01 * rng.standard_normal(40),
            "trades": [1] * 40,
            "observed": [1.0] * 40,
        }
        path = pl.DataFrame(daily, schema=table("backtest_daily").schema)
        self.rewrite("backtest_daily", path)
        self.log(path)
        hours = [day_start(day) for day in days]
        columns = {}
        for name, kind in table("backtest_trades").schema.items():
            if kind == pl.Float64:
                columns[name] = [{"fees": 1e-4, "slippage": 1e-4, "net_return": 0.05}.get(name, 1)]
            else:
                columns[name] = ["time"] if kind == pl.String else [hours]
        trades = pl.DataFrame(
            {
                name: pl.Series(value[0] if isinstance(value[0], list) else value * 40).cast(kind)
                for (name, value), kind in zip(
                    columns.items(), table("backtest_trades").schema.values(), strict=True
                )
            }
        )
        self.rewrite("backtest_trades", trades)

    def decide(self, week: date | None = None):
        return decide(self.lake, self.project, self.strategy, self.instrument, week or self.week)

    def rows(self, week: date | None = None) -> pl.DataFrame:
        return self.lake.read("promotions", **self.place, week=week or self.week)

    @property
    def pointer(self):
        return promotion(self.lake, *self.place.values())


@pytest.fixture(scope="module")
def walked(market, tmp_path_factory):
    """The market's lake, copied, walked forward to the week after its own."""
    copy = market.copy(tmp_path_factory.mktemp("walked") / "lake")
    desk = Desk(copy)
    desk.train(desk.first)
    desk.predict(desk.first)
    desk.train(desk.week)
    desk.backtest(desk.week)
    return copy


@pytest.fixture
def desk(walked, tmp_path) -> Desk:
    return Desk(walked.copy(tmp_path / "lake"))


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
    assert not desk.rows()["enters_service"].any()
    assert desk.pointer is None


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
    assert not desk.rows()["enters_service"].any()
    assert pointer.read_bytes() == before


OBSTACLES = {
    "report": ("reports", False),
    "copy": ("models/bundles", False),
    "row": ("promotions", False),
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
    # The page of reports is last: without it nothing lacks its reasons.
    assert (desk.pointer is None) == (step != "page")
    done = list(OBSTACLES).index(step)
    assert (desk.lake.root / "reports/tiny" / desk.place["instrument"]).is_dir() == (done > 0)
    assert (desk.lake.root / "models/bundles").is_dir() == (done > 1)
    assert desk.lake.exists("promotions", **desk.place, week=desk.week) == (done > 2)
    if folder:
        obstacle.rmdir()
    else:
        obstacle.unlink()
    desk.decide()
    assert promoted(desk.lake, *desk.place.values()) is not None


def test_a_path_whose_bars_are_gone_is_not_judged(desk) -> None:
    for file in (desk.lake.root / "bars").rglob("*.parquet"):
        file.unlink()
    with pytest.raises(MissingPartition, match="bars"):
        desk.decide()
