"""Runs of the small project on a persistent instance: what they write, record and refuse."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from typer.testing import CliRunner

from vostok.cli.app import app
from vostok_core import errors
from vostok_core.project import Project, find_project
from vostok_core.times import days
from vostok_exchange.archive import archive_path
from vostok_pipelines.jobs import day_assets
from vostok_pipelines.launch import Launcher
from vostok_pipelines.partitions import date_key, week_key

A, B, K = "test.spot.AAA-USD", "test.spot.BBB-USD", "test.spot.KKK-USD"
FIRST = date(2024, 3, 4)
THIRD = date(2024, 3, 6)


def materializations(
    project: Project, asset: str, instance: dg.DagsterInstance
) -> dict[str, list[dg.AssetMaterialization]]:
    found: dict[str, list[dg.AssetMaterialization]] = {}
    records = instance.fetch_materializations(
        dg.AssetKey(asset.split("/")), limit=1000, ascending=True
    ).records
    for record in records:
        assert record.asset_materialization is not None
        found.setdefault(str(record.partition_key), []).append(record.asset_materialization)
    return found


def test_a_range_run_writes_every_partition_and_records_each_once(
    project: Project, launcher: Launcher
) -> None:
    chain = day_assets(project, A)
    launcher.materialize(["news", "sentiment_scores"], None, FIRST, THIRD)
    result = launcher.materialize(chain, A, FIRST, THIRD)
    lake = project.open_lake()
    expected = list(days(FIRST, THIRD))
    places = {
        "raw_trades": {},
        "ticks": {},
        "quality": {},
        "bars": {"interval": "1m"},
        "sentiment": {},
    }
    for name, extra in places.items():
        assert lake.days(name, instrument=A, **extra) == expected, name
    for pack in ("core", "sentiment"):
        assert lake.days("features", pack=pack, instrument=A, interval="1m") == expected
    assert lake.keys("ticks") == [A]
    with dg.DagsterInstance.from_config(str(project.dagster_home)) as instance:
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        assert run.status is dg.DagsterRunStatus.SUCCESS
        assert run.asset_selection == {dg.AssetKey(name.split("/")) for name in chain}
        for asset in chain:
            recorded = materializations(project, asset, instance)
            assert sorted(recorded) == [date_key(day, A) for day in expected], asset
            assert {len(events) for events in recorded.values()} == {1}, asset
        for name in ("ticks", "bars"):
            for key, [event] in materializations(project, name, instance).items():
                day = date.fromisoformat(key.split("|")[0])
                info = lake.info(name, instrument=A, date=day, **places[name])
                assert event.metadata["dagster/partition_row_count"].value == info.rows > 0
                assert event.metadata["content_hash"].value == info.content_hash
        last = materializations(project, "bars", instance)[date_key(THIRD, A)][0]
        assert str(last.metadata["plot"].value).startswith("![plot](data:image/png;base64,")


def test_the_same_range_again_writes_the_same_content(
    project: Project, launcher: Launcher, contents: Callable[[Project], dict[str, str]]
) -> None:
    launcher.materialize(["landed", "ticks", "quality", "bars"], A, FIRST, FIRST)
    once = contents(project)
    launcher.materialize(["landed", "ticks", "quality", "bars"], A, FIRST, FIRST)
    assert contents(project) == once
    assert {path.split("/")[0] for path in once} == {"raw_trades", "ticks", "quality", "bars"}


def test_klines_stand_in_for_ticks_where_there_are_none(
    project: Project, launcher: Launcher
) -> None:
    folder = project.lake_root / "archive/data/spot/daily/klines/KKKUSD/1m"
    folder.mkdir(parents=True)
    opens = range(1_709_510_400_000, 1_709_510_400_000 + 86_400_000, 60_000)
    (folder / "KKKUSD-1m-2024-03-04.csv").write_text(
        "".join(f"{ts},10,12,9,11,5,{ts + 59_999},55,3,2,22,0\n" for ts in opens)
    )
    launcher.materialize(day_assets(project, K)[:4], K, FIRST, FIRST)
    lake = project.open_lake()
    bars = lake.read("bars", instrument=K, interval="1m", date=FIRST)
    assert bars.height == 1440
    assert bars["valid"].all()
    assert bars["source"].unique().to_list() == ["klines"]
    assert lake.keys("ticks") == []


def test_weekly_assets_run_from_labels_to_a_decision(
    project: Project, launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    last, monday = date(2024, 3, 18), date(2024, 3, 11)
    launcher.materialize(["news", "sentiment_scores"], None, FIRST, last)
    launcher.materialize(day_assets(project, A), A, FIRST, last)
    launcher.materialize(["tiny/labels"], A, FIRST, last - timedelta(days=1))
    launcher.materialize(["tiny/model", "tiny/predictions"], A, monday, monday)
    after = monday + timedelta(days=7)
    result = launcher.materialize(
        ["tiny/model", "tiny/backtest", "tiny/promotion"], A, after, after
    )
    lake = project.open_lake()
    place = {"strategy": "tiny", "instrument": A}
    assert lake.read("predictions", **place, week=monday).height > 100
    decided = lake.read("promotions", **place, week=after)
    assert decided["decision"].unique().to_list() == ["refused"]  # a week is too little
    with dg.DagsterInstance.from_config(str(project.dagster_home)) as instance:
        checks = {
            event.check_name: event.passed
            for event in (
                record.event_log_entry.dagster_event.event_specific_data
                for record in instance.get_records_for_run(
                    result.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
                ).records
                if record.event_log_entry.dagster_event
            )
        }
        assert checks == {"bundle_reproduces": True}
        [event] = materializations(project, "tiny/promotion", instance)[week_key(after, A)]
        assert event.metadata["decision"].value == "refused"
        assert event.metadata["standing"].value == "not put in service; nothing is in service"
        assert Path(str(event.metadata["report"].value)).is_file()
    monkeypatch.chdir(project.root)
    said = CliRunner().invoke(
        app,
        f"materialize tiny/promotion --instrument {A} --from {after} --to {after}".split(),
    )
    assert said.exit_code == errors.Refused.exit_code
    *_, last_line = said.stdout.splitlines()
    failed = decided.filter(verdict="fail")["rule"].to_list()
    assert last_line == (
        f"tiny on {A}, {after}: refused: {len(failed)} of {decided.height} rules fail "
        f"({', '.join(failed)}); not put in service; nothing is in service"
    )


def test_a_hole_in_a_file_warns_and_keeps_its_bars_from_training(
    project: Project, launcher: Launcher
) -> None:
    holed = FIRST + timedelta(days=3)  # features are warm
    after = holed + timedelta(days=1)
    _punch(project, A, holed, hours=(9, 12))
    launcher.materialize(["news", "sentiment_scores"], None, FIRST, after)
    result = launcher.materialize(day_assets(project, A), A, FIRST, after)
    launcher.materialize(["tiny/labels"], A, holed, holed)
    lake = project.open_lake()
    bars = lake.read("bars", instrument=A, interval="1m", date=holed)
    assert bars.height == 1440
    # The silence shows half an hour (max_silence) after the last trade, at about nine.
    inside = pl.col("ts").dt.strftime("%H:%M").is_between(pl.lit("09:31"), pl.lit("12:00"))
    assert not bars.filter(inside)["valid"].any()
    assert bars.filter(~inside)["valid"].mean() > 0.995
    labels = lake.read("labels", strategy="tiny", instrument=A, date=holed)
    assert labels.height > 20
    assert labels.filter(inside).is_empty()
    assert labels.filter(~inside & (pl.col("ts").dt.hour() > 12)).height > 0
    with dg.DagsterInstance.from_config(str(project.dagster_home)) as instance:
        checks = {}
        for record in instance.get_records_for_run(
            result.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
        ).records:
            event = record.event_log_entry.dagster_event
            assert event is not None
            check = event.asset_check_evaluation_data
            checks[check.check_name] = check
    assert {name for name, check in checks.items() if check.passed} == {
        "fit_to_train", "klines_agree", "reference_agrees"
    }  # fmt: skip
    assert set(checks) - {"fit_to_train", "klines_agree", "reference_agrees"} == {
        "no_gaps", "mostly_valid"
    }  # fmt: skip
    assert not checks["no_gaps"].passed
    assert not checks["mostly_valid"].passed
    assert checks["no_gaps"].severity is dg.AssetCheckSeverity.WARN
    assert str(holed) in str(checks["no_gaps"].metadata["first"].value)
    assert str(FIRST) not in str(checks["no_gaps"].metadata["first"].value)


def test_an_error_inside_an_asset_comes_out_as_it_was_raised(
    project: Project, launcher: Launcher
) -> None:
    archive_path(project.lake_root / "archive", "AAAUSD", THIRD).unlink()
    with pytest.raises(errors.MissingPartition, match="nothing has landed") as caught:
        launcher.materialize(day_assets(project, A), A, FIRST, THIRD)
    assert "vostok ingest PATH" in str(caught.value.hint)
    assert "landed" in str(caught.value.where)
    with dg.DagsterInstance.from_config(str(project.dagster_home)) as instance:
        [run] = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.FAILURE
        assert run.run_id.startswith(str(caught.value.where).split()[1].rstrip(","))


def test_an_error_that_has_a_cause_keeps_its_own_class(
    project: Project, launcher: Launcher
) -> None:
    launcher.materialize(["landed", "ticks", "quality"], A, FIRST, FIRST)
    [path] = project.open_lake().partition("ticks", instrument=A, date=FIRST).iterdir()
    path.write_bytes(b"PAR1" + path.read_bytes()[4:-8] + b"xxxxPAR1")
    with pytest.raises(errors.CorruptPartition) as caught:
        launcher.materialize(["bars"], A, FIRST, FIRST)
    assert "materialize the partition again" in str(caught.value.hint)


def test_a_file_that_is_not_what_it_claims_is_refused_and_leaves_nothing(
    project: Project, launcher: Launcher
) -> None:
    path = archive_path(project.lake_root / "archive", "AAAUSD", FIRST)
    path.unlink()
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(errors.SourceFormatError):
        launcher.materialize(["landed"], A, FIRST, FIRST)
    assert project.open_lake().days("raw_trades", instrument=A) == []


@pytest.mark.parametrize(
    ("assets", "instrument", "first", "last", "message"),
    [
        (["candles"], A, FIRST, FIRST, "candles"),
        (["bars"], A, date(2024, 3, 3), FIRST, "no partition 2024-03-03"),
        (["bars"], A, FIRST, date(2999, 1, 1), "no partition 2999-01-01"),
        (["bars"], "test.spot.ZZZ-USD", FIRST, FIRST, "no partition"),
        (["tiny/model"], A, date(2024, 3, 5), date(2024, 3, 5), "no partition"),
        (["bars", "tiny/model"], A, FIRST, FIRST, "not partitioned alike"),
        (["news", "sentiment"], A, FIRST, FIRST, "not partitioned alike"),
        (["bars"], None, FIRST, FIRST, "needs an instrument"),
        (["bars"], A, THIRD, FIRST, "before"),
    ],
)
def test_what_can_not_be_meant_is_refused_before_any_run(
    project: Project,
    launcher: Launcher,
    assets: list[str],
    instrument: str | None,
    first: date,
    last: date,
    message: str,
) -> None:
    with pytest.raises(errors.UsageError, match=message) as caught:
        launcher.materialize(assets, instrument, first, last)
    assert caught.value.hint
    assert not (project.dagster_home / "history").exists()


def test_a_prefix_names_all_assets_below_it(launcher: Launcher) -> None:
    assert sorted(launcher.resolve("features")) == ["features/core", "features/sentiment"]
    assert launcher.resolve("bars") == ["bars"]


def test_two_lakes_never_touch(make_project: Callable[..., Project]) -> None:
    one, two = make_project("one"), make_project("two")
    runs = {}
    launchers = {project.root.name: Launcher(project) for project in (one, two)}
    for project, day in ((one, FIRST), (two, THIRD), (one, THIRD)):
        result = launchers[project.root.name].materialize(["landed"], A, day, day)
        runs.setdefault(project.root.name, set()).add(result.run_id)
    for project in (one, two):
        assert project.dagster_home == project.lake_root / ".dagster"
        with dg.DagsterInstance.from_config(str(project.dagster_home)) as instance:
            assert {run.run_id for run in instance.get_runs()} == runs[project.root.name]
            recorded = materializations(project, "landed", instance)
        expected = project.open_lake().days("raw_trades", instrument=A)
        assert sorted(recorded) == [date_key(day, A) for day in expected]
    assert one.open_lake().days("raw_trades", instrument=A) == [FIRST, THIRD]
    assert two.open_lake().days("raw_trades", instrument=A) == [THIRD]


def _punch(project: Project, instrument: str, day: date, hours: tuple[int, int]) -> None:
    """Take the trades of some hours out of the archive's file of a day."""
    import zipfile

    symbol = instrument.rsplit(".", 1)[1].replace("-", "")
    path = archive_path(project.lake_root / "archive", symbol, day)
    with zipfile.ZipFile(path) as archive:
        [name] = archive.namelist()
        lines = archive.read(name).decode().splitlines()
    midnight = (day - date(1970, 1, 1)).days * 86_400

    def second(line: str) -> float:
        ts = int(line.split(",")[5])
        return ts / (1e6 if ts > 1e14 else 1e3) - midnight

    kept = [line for line in lines if not hours[0] <= second(line) / 3600 < hours[1]]
    assert 0 < len(kept) < len(lines)
    path.unlink()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, "\n".join(kept) + "\n")
    path.with_name(f"{path.name}.CHECKSUM").unlink()


@pytest.mark.parametrize("asset", ["features/core", "ta_catalogue"])
def test_features_are_not_made_of_bars_by_other_rules_of_the_instrument(
    project: Project, launcher: Launcher, asset: str
) -> None:
    launcher.materialize(["landed", "ticks", "quality", "bars"], A, FIRST, FIRST)
    settings = project.root / "vostok.toml"
    settings.write_text(settings.read_text().replace('max_silence = "30m"', 'max_silence = "31m"'))
    edited = Launcher(find_project(project.root, {}))
    with pytest.raises(errors.VostokError, match=r"bars of .* are stale") as caught:
        edited.materialize([asset], A, FIRST, FIRST)
    assert f"materialize ticks,quality,bars --instrument {A}" in str(caught.value.hint)
