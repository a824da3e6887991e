"""Parity and reconciliation of a traded day, as real Dagster runs."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from shutil import copyfile, rmtree
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest
import tomlkit
from typer.testing import CliRunner

from tests.live.parity_world import (
    BEGIN,
    FIRST,
    NAME,
    NEXT,
    Traded,
    make_strategy,
    make_traded,
    news,
    see_to_exits,
)
from vostok.cli.app import app
from vostok_core.errors import MissingPartition
from vostok_core.project import Project, find_project
from vostok_core.times import DAY, day_start
from vostok_live.daemon.plan import JOURNAL, state_folder
from vostok_live.news.rows import scores_frame
from vostok_live.shipping import ship
from vostok_pipelines.asked import WHAT
from vostok_pipelines.definitions import build_definitions
from vostok_pipelines.launch import Launcher
from vostok_pipelines.partitions import RANGE_END, RANGE_START, date_key
from vostok_pipelines.proofs import due_proofs

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.filterwarnings("ignore:Non-compliant tag keys")  # Dagster's, on its own

PLACE = {"strategy": "tiny", "instrument": NAME}
SETTINGS = f"""
[calendar]
start = {FIRST}

[instruments."{NAME}"]
tick = "trade"
price_tick = "0.01"
quantity_step = "0.001"
min_notional = "5"
max_silence = "1d"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Traded:
    """A journal that was shipped; the archive has the first day that was traded."""
    traded = make_traded(tmp_path_factory.mktemp("made"))
    world = traded.world
    scores = scores_frame(news(np.random.default_rng(1), day_start(BEGIN), DAY, 9, "archive"))
    world.lake.write("sentiment_scores", scores, code_version="t", date=BEGIN)
    world.land(BEGIN)
    return traded


@pytest.fixture
def traded_project(made: Traded, tmp_path: Path) -> Project:
    root = tmp_path / "project"
    (root / "strategies").mkdir(parents=True)
    (root / "vostok.toml").write_text(SETTINGS)
    (root / "strategies" / "tiny.toml").write_text(tomlkit.dumps(make_strategy().resolved()))
    (root / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
    made.world.copy(root / "data_lake")
    return find_project(root, {})


def record(instance: dg.DagsterInstance, asset: str, day: date) -> dict[str, dg.MetadataValue[Any]]:
    """What the newest materialization of a day says."""
    key = date_key(day, NAME)
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(asset.split("/")), asset_partitions=[key]), limit=1
    ).records
    assert found[0].asset_materialization is not None
    return dict(found[0].asset_materialization.metadata)


def check_of(instance: dg.DagsterInstance) -> dg.AssetCheckEvaluation:
    key = dg.AssetCheckKey(dg.AssetKey(["tiny", "parity"]), "parity_holds")
    found = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)[0]
    assert found.event is not None
    assert found.event.dagster_event is not None
    data = found.event.dagster_event.event_specific_data
    assert isinstance(data, dg.AssetCheckEvaluation)
    return data


def told(project: Project, first: date, last: date) -> list[str]:
    """What the command says of each day that it has parity decide."""
    days = ["--from", str(first), "--to", str(last)]
    done = CliRunner(env={"VOSTOK_PROJECT": str(project.root)}).invoke(
        app, ["materialize", "tiny/parity", "--instrument", NAME, *days]
    )
    assert done.exit_code == 0, done.output
    run, *verdicts = done.stdout.splitlines()
    assert ": run " in run
    return verdicts


def test_days_that_were_traded_are_proven_and_the_check_holds(traded_project: Project) -> None:
    verdicts = told(traded_project, BEGIN, NEXT)
    lake = traded_project.open_lake()
    for day in (BEGIN, NEXT):
        proof = lake.read("parity", **PLACE, date=day)
        assert proof["compared"].to_list() == proof["equal"].to_list()
        assert proof.filter(kind="features")["compared"].item() > 100 * 65
        assert proof["untold"].sum() == 0
        assert "live_ticks" in str(dict(lake.info("parity", **PLACE, date=day).inputs))
        said = f"holds: {proof['compared'].sum():,} values compared, every bit equal"
        assert f"tiny on {NAME}, {day}: {said}" in verdicts
    assert len(verdicts) == 2
    with dg.DagsterInstance.from_config(str(traded_project.dagster_home)) as instance:
        said = record(instance, "tiny/parity", BEGIN)
        assert said["verdict"].value == "holds"
        assert said["dagster/partition_row_count"].value == 12
        assert "| features |" in str(said["kinds"].value)
        evaluation = check_of(instance)
        assert evaluation.passed
        assert evaluation.metadata["first"].value == "none"


def test_a_bit_that_differs_fails_the_check_as_an_error_and_is_shown(
    traded_project: Project,
) -> None:
    lake = traded_project.open_lake()
    steps = lake.read("live_steps", **PLACE, date=BEGIN)
    values = steps["macd_line"].to_numpy(writable=True)
    values[700] = np.nextafter(values[700], 9.0)
    steps = steps.with_columns(macd_line=values)
    lake.write("live_steps", steps, code_version="t", **PLACE, date=BEGIN)
    [verdict] = told(traded_project, BEGIN, BEGIN)
    assert f"{BEGIN}: DIFFERS: " in verdict
    assert " values; the first in features at 2024-02-29 11:41:00, macd_line: live " in verdict
    proof = lake.read("parity", **PLACE, date=BEGIN)
    assert proof.filter(kind="features")["place"].item() == "macd_line"
    with dg.DagsterInstance.from_config(str(traded_project.dagster_home)) as instance:
        assert record(instance, "tiny/parity", BEGIN)["verdict"].value == "differs"
        evaluation = check_of(instance)
        assert not evaluation.passed
        assert evaluation.severity is dg.AssetCheckSeverity.ERROR
        assert evaluation.metadata["differences"].value == 1
        assert "2024-02-29 11:41:00" in str(evaluation.metadata["first"].value)
        assert "| macd_line |" in str(evaluation.metadata["first"].value)


def test_what_can_no_longer_be_told_fails_the_check_as_a_warning(traded_project: Project) -> None:
    lake = traded_project.open_lake()
    keys = {"instrument": NAME, "interval": "1m", "date": BEGIN - timedelta(days=1)}
    bars = lake.read("bars", **keys)
    lake.write("bars", bars.with_columns(volume=pl.col("volume") * 2), code_version="t", **keys)
    [verdict] = told(traded_project, BEGIN, BEGIN)
    assert f"{BEGIN}: untold: " in verdict
    assert "could not be told again, " in verdict
    assert "have changed since the run began" in verdict
    with dg.DagsterInstance.from_config(str(traded_project.dagster_home)) as instance:
        said = record(instance, "tiny/parity", BEGIN)
        assert said["verdict"].value == "untold"
        assert "have changed since the run began" in str(said["reasons"].value)
        evaluation = check_of(instance)
        assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_a_day_that_was_not_traded_fails_the_run_and_the_others_are_proven(
    traded_project: Project,
) -> None:
    later = NEXT + timedelta(days=1)
    with pytest.raises(MissingPartition, match=f"nothing was shipped of tiny .* for {later}"):
        Launcher(traded_project).materialize(["tiny/parity"], NAME, NEXT, later)
    assert traded_project.open_lake().exists("parity", **PLACE, date=NEXT)


def test_a_day_is_held_against_the_archive_and_the_simulator(traded_project: Project) -> None:
    Launcher(traded_project).materialize(["tiny/reconciliation"], NAME, BEGIN, BEGIN)
    found = traded_project.open_lake().read("reconciliation", **PLACE, date=BEGIN)
    assert {"late_trade", "bar", "entry_price", "fee", "only_simulated"} <= set(found["kind"])
    with dg.DagsterInstance.from_config(str(traded_project.dagster_home)) as instance:
        said = record(instance, "tiny/reconciliation", BEGIN)
        assert said["positions_both"].value > 10
        assert "| only_simulated | paused |" in str(said["summary"].value)


def test_a_day_of_which_the_archive_is_not_there_is_named(traded_project: Project) -> None:
    with pytest.raises(MissingPartition, match="ticks has no partition"):
        Launcher(traded_project).materialize(["tiny/reconciliation"], NAME, NEXT, NEXT)


# What is due


def ask(project: Project, name: str, at: date) -> tuple[list[dg.RunRequest], str]:
    """What a schedule asks for in the morning of a day, and else why it asks for nothing."""
    repository = build_definitions(project).get_repository_def()
    moment = datetime(at.year, at.month, at.day, 2, 45, tzinfo=UTC)
    with (
        dg.DagsterInstance.from_config(str(project.dagster_home)) as instance,
        dg.build_schedule_context(
            instance=instance, scheduled_execution_time=moment, repository_def=repository
        ) as context,
    ):
        tick = repository.get_schedule_def(name).evaluate_tick(context)
    return list(tick.run_requests or []), tick.skip_message or ""


def test_the_schedules_ask_for_days_that_are_over_and_not_proven(traded_project: Project) -> None:
    Launcher(traded_project).materialize(["tiny/reconciliation"], NAME, BEGIN, BEGIN)
    morning = NEXT + timedelta(days=1)
    [request], _ = ask(traded_project, "tiny_daily_parity", morning)
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == (
        date_key(BEGIN, NAME),
        date_key(NEXT, NAME),
    )
    assert request.tags[WHAT] == f"parity of tiny for {NAME} from {BEGIN} to {NEXT}"
    [request], _ = ask(traded_project, "tiny_daily_parity", NEXT)
    assert request.tags[RANGE_END] == date_key(BEGIN, NAME)
    asked, why = ask(traded_project, "tiny_daily_reconciliation", morning)
    assert asked == []
    assert "has its reconciliation" in why


def test_a_day_is_due_again_when_its_journal_or_the_archive_has_changed(
    traded_project: Project, made: Traded
) -> None:
    lake, strategy = traded_project.open_lake(), make_strategy()
    both = ["tiny/parity", "tiny/reconciliation"]
    Launcher(traded_project).materialize(both, NAME, BEGIN, BEGIN)

    def due(asset: str) -> list[date]:
        return list(due_proofs(asset, lake, strategy, NAME, FIRST, BEGIN))

    assert due("parity") == due("reconciliation") == []
    ticks = lake.read("ticks", instrument=NAME, date=BEGIN)
    lake.write("ticks", ticks.head(-1), code_version="t", instrument=NAME, date=BEGIN)
    assert (due("parity"), due("reconciliation")) == ([], [BEGIN])
    news_of = lake.read("live_news", **PLACE, date=BEGIN)
    lake.write("live_news", news_of.head(-1), code_version="t", **PLACE, date=BEGIN)
    assert due("parity") == [BEGIN]
    ship(made.journal, lake, "tiny", NAME)
    assert due("parity") == []


def test_a_day_of_exits_alone_is_due_for_parity_once_and_has_nothing_to_reconcile(
    traded_project: Project, made: Traded
) -> None:
    """The journal is shipped as a daemon ships it: by the command, what has come since."""
    lake, strategy = traded_project.open_lake(), make_strategy()
    market = traded_project.settings.instrument(NAME)
    journal = state_folder(traded_project, "tiny", market) / JOURNAL
    journal.parent.mkdir(parents=True)
    copyfile(made.journal, journal)
    alone = NEXT + timedelta(days=5)
    see_to_exits(journal, [alone])
    subprocess.run(
        [sys.executable, "-m", "vostok_live", "ship", "tiny", "--instrument", NAME, "--changed"],
        cwd=traded_project.root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert list(due_proofs("parity", lake, strategy, NAME, NEXT + timedelta(days=1), alone)) == [
        alone
    ]
    assert not due_proofs("reconciliation", lake, strategy, NAME, alone, alone)
    Launcher(traded_project).materialize(["tiny/parity"], NAME, alone, alone)
    proof = lake.read("parity", **PLACE, date=alone)
    assert proof.filter(kind="answers")["compared"].item() == 2
    with dg.DagsterInstance.from_config(str(traded_project.dagster_home)) as instance:
        assert record(instance, "tiny/parity", alone)["verdict"].value == "holds"
        assert check_of(instance).passed
    assert not due_proofs("parity", lake, strategy, NAME, alone, alone)


def test_a_day_is_due_again_once_the_days_beside_it_have_been_shipped(
    traded_project: Project, made: Traded
) -> None:
    """Its last bar is heard after midnight, and its first goes on from the day before."""
    lake, strategy = traded_project.open_lake(), make_strategy()

    def due() -> list[date]:
        return list(due_proofs("parity", lake, strategy, NAME, FIRST, NEXT))

    rmtree(lake.partition("live_events", **PLACE, date=NEXT))
    Launcher(traded_project).materialize(["tiny/parity"], NAME, BEGIN, BEGIN)
    with dg.DagsterInstance.from_config(str(traded_project.dagster_home)) as instance:
        assert record(instance, "tiny/parity", BEGIN)["verdict"].value == "untold"
    assert due() == [NEXT]
    ship(made.journal, lake, "tiny", NAME)
    assert due() == [BEGIN, NEXT]
    Launcher(traded_project).materialize(["tiny/parity"], NAME, BEGIN, NEXT)
    assert due() == []
    ticks = lake.read("live_ticks", **PLACE, date=BEGIN)
    lake.write("live_ticks", ticks.head(-1), code_version="t", **PLACE, date=BEGIN)
    assert due() == [BEGIN, NEXT]
