"""Checks of market data in real runs: what agrees, what warns, and what blocks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from vostok_core.errors import MissingPartition, UnfitDay
from vostok_core.lake.store import Lake
from vostok_core.market.currency import stale_bars
from vostok_core.project import Project, find_project
from vostok_core.times import MINUTE, day_start
from vostok_exchange.archive import archive_path
from vostok_pipelines.bad_days import bad_days
from vostok_pipelines.jobs import day_assets
from vostok_pipelines.landing import land, land_absent
from vostok_pipelines.launch import Launcher

A, B = "test.spot.AAA-USD", "test.spot.BBB-USD"
FIRST, SECOND, THIRD = (date(2024, 3, 4) + timedelta(days=k) for k in range(3))
MARKET = ["landed", "ticks", "quality", "bars"]


def minutes(lake: Lake, day: date, name: str = A) -> pl.DataFrame:
    return lake.read("bars", instrument=name, interval="1m", date=day)


def kline_file(folder: Path, bars: pl.DataFrame, day: date, change: dict[int, float]) -> Path:
    """Klines as the exchange would have published them, but for closes of some minutes."""
    ends = bars["ts"].to_physical().to_numpy()
    minute = (ends - day_start(day)) // MINUTE - 1
    close = bars["close"].to_numpy() * np.array([change.get(m, 1.0) for m in minute])
    rows = bars.select(
        ts=(bars["ts"].to_physical() - MINUTE) // 1000,
        open="open",
        high=np.maximum(bars["high"].to_numpy(), close),
        low=np.minimum(bars["low"].to_numpy(), close),
        close=close,
        volume="volume",
    ).filter(pl.col("volume") > 0)
    path = folder / f"{day}-{len(change)}.csv"
    rows.write_csv(path)
    return path


def land_klines(project: Project, path: Path, *, replace: bool = False) -> None:
    of = project.settings.universe[A]
    land(project.open_lake(), path, of, "csv", kind="klines", replace=replace)


def checks_of(project: Project, run_id: str | None = None) -> dict[str, dg.AssetCheckEvaluation]:
    """What the checks of a run said; of the newest run unless it is named."""
    with dg.DagsterInstance.from_config(str(project.dagster_home)) as instance:
        run = run_id or instance.get_runs(limit=1)[0].run_id
        records = instance.get_records_for_run(
            run, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
        ).records
        events = [record.event_log_entry.dagster_event for record in records]
        found = [event.asset_check_evaluation_data for event in events if event is not None]
    return {each.check_name: each for each in found}


def values(check: dg.AssetCheckEvaluation) -> dict[str, object]:
    return {name: value.value for name, value in check.metadata.items()}


def metadata_of(project: Project, asset: str, day: date) -> dict[str, object]:
    with dg.DagsterInstance.from_config(str(project.dagster_home)) as instance:
        records = instance.fetch_materializations(
            dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[f"{day}|{A}"]), limit=1
        ).records
        assert records[0].asset_materialization is not None
        metadata = records[0].asset_materialization.metadata
    return {name: value.value for name, value in metadata.items()}


@pytest.mark.long
def test_klines_that_agree_change_nothing_but_that_they_are_known_to(
    project: Project, launcher: Launcher, tmp_path: Path
) -> None:
    launcher.materialize(MARKET, A, FIRST, SECOND)
    lake = project.open_lake()
    before = {day: minutes(lake, day) for day in (FIRST, SECOND)}
    quality = lake.info("quality", instrument=A, date=FIRST)
    nothing = checks_of(project)["klines_agree"]
    assert nothing.passed
    assert "no klines have landed" in str(values(nothing)["note"])

    land_klines(project, kline_file(tmp_path, before[FIRST], FIRST, {}))
    # They have landed, and are not merged: nothing has been said yet.
    assert stale_bars(lake, A, "1m", [FIRST, SECOND]) == {}
    launcher.materialize(["klines", "bars"], A, FIRST, SECOND)
    found = checks_of(project)["klines_agree"]
    assert found.passed
    traded = before[FIRST].filter(pl.col("volume") > 0).height
    facts = values(found)
    assert (facts["days"], facts["minutes"], facts["differing"]) == (1, traded, 0)
    assert str(facts["plot"]).startswith("![plot](data:image/png;base64,")
    klines = {"instrument": A, "interval": "1m", "date": FIRST}
    assert lake.read("klines", **klines).height == traded
    assert minutes(lake, FIRST).equals(before[FIRST])
    assert before[FIRST]["source"].unique().to_list() == ["ticks"]
    assert lake.info("quality", instrument=A, date=FIRST) == quality
    assert stale_bars(lake, A, "1m", [FIRST, SECOND]) == {}


@pytest.mark.long
def test_a_minute_that_differs_is_named_and_the_run_goes_on(
    project: Project, launcher: Launcher, tmp_path: Path
) -> None:
    launcher.materialize(MARKET, A, FIRST, FIRST)
    bars = minutes(project.open_lake(), FIRST)
    at = int(bars.filter(pl.col("volume") > 0)["ts"].to_physical()[700])
    minute = (at - day_start(FIRST)) // MINUTE - 1
    land_klines(project, kline_file(tmp_path, bars, FIRST, {minute: 1.01}))
    launcher.materialize([*MARKET, "features/core"], A, FIRST, FIRST)
    found = checks_of(project)["klines_agree"]
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    facts = values(found)
    assert facts["differing"] == 1
    assert facts["blocking_days"] == "none"
    worst = str(facts["worst"]).splitlines()
    named = bars.filter(pl.col("ts").to_physical() == at)["ts"].dt.strftime("%Y-%m-%d %H:%M")[0]
    assert len(worst) == 3
    assert worst[2].startswith(f"| {named} | {A} | ")
    assert "close" in worst[2]


@pytest.mark.long
def test_klines_that_contradict_a_day_block_it_and_no_other(
    project: Project, launcher: Launcher, tmp_path: Path
) -> None:
    launcher.materialize(MARKET, A, FIRST, THIRD)
    lake = project.open_lake()
    wrong = kline_file(tmp_path, minutes(lake, SECOND), SECOND, dict.fromkeys(range(200), 1.01))
    land_klines(project, wrong)
    stamp = lake.info("bars", instrument=A, interval="1m", date=SECOND).path.stat().st_mtime_ns
    with pytest.raises(
        UnfitDay, match=r"no bars are built of 2024-03-05.*minutes differ"
    ) as caught:
        launcher.materialize(["klines", "bars", "features/core"], A, FIRST, THIRD)
    assert "--absent 2024-03-05 --replace" in str(caught.value.hint)
    found = checks_of(project)["klines_agree"]
    assert not found.passed
    assert found.blocking
    assert found.severity is dg.AssetCheckSeverity.ERROR
    assert values(found)["blocking_days"] == f"2024-03-05 {A}"
    with dg.DagsterInstance.from_config(str(project.dagster_home)) as instance:
        [run] = instance.get_runs(limit=1)
        assert bad_days(run, A) == {SECOND}
    assert lake.days("features", pack="core", instrument=A, interval="1m") == []
    # Bars of before are there, and nobody may use them any more.
    info = lake.info("bars", instrument=A, interval="1m", date=SECOND)
    assert info.path.stat().st_mtime_ns == stamp
    assert list(stale_bars(lake, A, "1m", [FIRST, SECOND, THIRD])) == [SECOND]

    land_klines(project, kline_file(tmp_path, minutes(lake, SECOND), SECOND, {}), replace=True)
    stale = stale_bars(lake, A, "1m", [FIRST, SECOND, THIRD])
    assert [(day, found.why) for day, found in stale.items()] == [
        (SECOND, "other files have landed on 2024-03-05 than its klines were merged from")
    ]
    launcher.materialize(["klines", "bars", "features/core"], A, FIRST, THIRD)
    assert stale_bars(lake, A, "1m", [FIRST, SECOND, THIRD]) == {}


@pytest.mark.long
def test_klines_alone_are_merged_and_make_no_history(
    project: Project, launcher: Launcher, tmp_path: Path
) -> None:
    launcher.materialize(MARKET, A, FIRST, FIRST)
    lake = project.open_lake()
    klines = kline_file(tmp_path, minutes(lake, FIRST), FIRST, {})
    moved = pl.read_csv(klines).with_columns(pl.col("ts") + 86_400_000)
    moved.write_csv(klines)
    land_klines(project, klines)
    launcher.materialize(["klines"], A, SECOND, SECOND)
    assert lake.days("klines", instrument=A, interval="1m") == [SECOND]
    assert lake.days("ticks", instrument=A) == [FIRST]
    # A day of which only klines have landed is a hole like any other.
    archive_path(project.lake_root / "archive", "AAAUSD", SECOND).unlink()
    launcher.materialize(MARKET, A, THIRD, THIRD)
    launcher.materialize(["features/core"], A, THIRD, THIRD)
    with pytest.raises(MissingPartition, match="nothing has landed"):
        launcher.materialize(["features/core"], A, SECOND, SECOND)


def spoil(project: Project, day: date, change: Callable[[list[str], int], None]) -> None:
    """Change some fields of some lines of the archive's file of a day."""
    import zipfile

    path = archive_path(project.lake_root / "archive", "AAAUSD", day)
    with zipfile.ZipFile(path) as archive:
        [name] = archive.namelist()
        rows = [line.split(",") for line in archive.read(name).decode().splitlines()]
    for k, row in enumerate(rows):
        change(row, k)
    path.unlink()
    path.with_name(f"{path.name}.CHECKSUM").unlink()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, "\n".join(",".join(row) for row in rows) + "\n")


def _outlier(row: list[str], k: int) -> None:
    if k % 150 == 75:
        row[1] = f"{float(row[1]) * 1.5:.2f}"


def test_a_day_full_of_outliers_blocks(project: Project, launcher: Launcher) -> None:
    spoil(project, SECOND, _outlier)
    with pytest.raises(UnfitDay, match=r"no bars are built of 2024-03-05.*outlier") as caught:
        launcher.materialize(MARKET, A, FIRST, SECOND)
    assert "--absent 2024-03-05 --replace" in str(caught.value.hint)
    found = checks_of(project)
    assert found["no_gaps"].passed
    fit = found["fit_to_train"]
    assert not fit.passed
    assert fit.blocking
    assert fit.severity is dg.AssetCheckSeverity.ERROR
    assert "| 2024-03-05 | test.spot.AAA-USD | outlier | error |" in str(values(fit)["first"])
    facts = metadata_of(project, "quality", SECOND)
    assert "| outlier | error |" in str(facts["findings"]).splitlines()[2]
    assert str(facts["plot"]).startswith("![plot](data:image/png;base64,")
    lake = project.open_lake()
    # All is there to see what is wrong, and nothing that is made from it.
    assert lake.days("quality", instrument=A) == [FIRST, SECOND]
    assert lake.days("bars", instrument=A, interval="1m") == []


@pytest.mark.long
def test_what_blocks_a_day_blocks_no_other_until_it_is_taken_out(
    project: Project, launcher: Launcher
) -> None:
    spoil(project, SECOND, _outlier)
    with pytest.raises(UnfitDay):
        launcher.materialize([*MARKET, "features/core"], A, FIRST, THIRD)
    lake = project.open_lake()
    assert lake.days("quality", instrument=A) == [FIRST, SECOND, THIRD]
    # Nobody builds bars of it by another way, and the other days are built.
    with pytest.raises(UnfitDay):
        launcher.materialize(["bars"], A, FIRST, THIRD)
    assert lake.days("bars", instrument=A, interval="1m") == [FIRST, THIRD]
    with pytest.raises(MissingPartition, match="has landed on 2024-03-05 and has no 1m bars"):
        launcher.materialize(["features/core"], A, THIRD, THIRD)

    land_absent(lake, project.settings.universe[A], SECOND, replace=True)
    archive_path(project.lake_root / "archive", "AAAUSD", SECOND).unlink()
    launcher.materialize([*MARKET, "features/core"], A, FIRST, THIRD)
    assert all(check.passed for name, check in checks_of(project).items() if "fit" in name)
    assert not minutes(lake, SECOND)["valid"].all()


@pytest.mark.long
def test_the_metadata_of_quality_tell_the_day_and_plot_four_weeks(
    project: Project, launcher: Launcher
) -> None:
    launcher.materialize(MARKET, A, FIRST, SECOND)
    facts = metadata_of(project, "quality", SECOND)
    lake = project.open_lake()
    assert facts["valid_share"] == minutes(lake, SECOND)["valid"].mean()
    assert facts["errors"] == facts["invalid_spans"] == 0
    assert str(facts["plot"]).startswith("![plot](data:image/png;base64,")
    assert "plot" not in metadata_of(project, "quality", FIRST)


@pytest.mark.long
@pytest.mark.parametrize("bounds", [None, (1e-6, 1e9), (1e9, 1e9)])
def test_another_venue_is_held_against_within_bounds(
    make_project: Callable[..., Project], bounds: tuple[float, float] | None
) -> None:
    root = make_project().root
    if bounds is not None:
        settings = (root / "vostok.toml").read_text()
        named = f'[instruments."{A}"]\nreference = "{B}"\nreference_bps = {list(bounds)}\n'
        (root / "vostok.toml").write_text(settings.replace(f'[instruments."{A}"]\n', named))
    project = find_project(root, {})
    launcher = Launcher(project)
    launcher.materialize(MARKET, A, FIRST, FIRST)
    assert checks_of(project)["reference_agrees"].passed  # it has no bars yet
    launcher.materialize(MARKET, B, FIRST, FIRST)
    launcher.materialize(["bars"], A, FIRST, FIRST)
    found = checks_of(project)["reference_agrees"]
    facts = values(found)
    assert not found.blocking
    if bounds is None:
        assert found.passed
        assert "no instrument of these days has a reference" in str(facts["note"])
        return
    assert found.passed == (bounds[0] > 1)
    assert facts["days"] == 1
    assert facts["days_out_of_bounds"] == (bounds[0] < 1)
    assert str(facts["plot"]).startswith("![plot](data:image/png;base64,")
    assert f"| {FIRST} | {A} | {B} | " in str(facts["by_day"])
    assert len(str(facts["worst"]).splitlines()) == 22
    assert found.severity is dg.AssetCheckSeverity.WARN


@pytest.mark.long
def test_the_chain_of_a_day_holds_its_bars_against_klines_that_have_landed(
    project: Project, launcher: Launcher, tmp_path: Path
) -> None:
    launcher.materialize(MARKET, A, FIRST, FIRST)
    bars = minutes(project.open_lake(), FIRST)
    land_klines(project, kline_file(tmp_path, bars, FIRST, {}))
    launcher.materialize_dates(["news", "sentiment_scores"], FIRST, FIRST)
    launcher.materialize(day_assets(project, A), A, FIRST, FIRST)
    assert values(checks_of(project)["klines_agree"])["days"] == 1
