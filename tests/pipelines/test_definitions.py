"""What Dagster is told of the small project: the graph, jobs, schedules, the sensor."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from vostok_core.features.registry import packs
from vostok_core.project import Project
from vostok_pipelines.definitions import build_definitions
from vostok_pipelines.launch import environment

ROOT = Path(__file__).resolve().parents[2]
A, B, K = "test.spot.AAA-USD", "test.spot.BBB-USD", "test.spot.KKK-USD"
FIRST = date(2024, 3, 4)

# asset: group, partitions, what it is made of
GRAPH = {
    "archive_files": ("market", "day", set()),
    "funding": ("market", "day", {"archive_files"}),
    "landed": ("market", "day", {"archive_files"}),
    "ticks": ("market", "day", {"landed"}),
    "klines": ("market", "day", {"landed"}),
    "quality": ("market", "day", {"landed"}),
    "bars": ("market", "day", {"ticks", "klines", "quality"}),
    "news": ("sentiment", "date", set()),
    "sentiment_scores": ("sentiment", "date", {"news"}),
    "sentiment": ("sentiment", "day", {"sentiment_scores"}),
    "features/core": ("features", "day", {"bars"}),
    "features/sentiment": ("features", "day", {"bars", "sentiment"}),
    "ta_catalogue": ("research", "day", {"bars"}),
    "tiny/labels": ("tiny", "day", {"features/core", "features/sentiment", "bars", "ticks"}),
    "tiny/model": ("tiny", "week", {"tiny/labels", "features/core", "features/sentiment"}),
    "tiny/predictions": ("tiny", "week", {"tiny/model", "features/core", "features/sentiment"}),
    "tiny/backtest": ("tiny", "week", {"tiny/predictions", "bars", "ticks"}),
    "tiny/promotion": ("tiny", "week", {"tiny/model", "tiny/backtest"}),
    "tiny/journal": ("tiny", "day", set()),
    "tiny/parity": ("tiny", "day", {"tiny/journal", "bars"}),
    "tiny/reconciliation": (
        "tiny", "day", {"tiny/journal", "bars", "ticks", "features/core", "features/sentiment"},
    ),
}  # fmt: skip
NO_TABLE = {"archive_files", "landed", "tiny/model", "tiny/journal"}
"""Landed files keep the columns of their source, a bundle is a folder, a journal is many tables."""


@pytest.fixture
def definitions(project: Project) -> dg.Definitions:
    project.open_lake()
    return build_definitions(project)


def test_the_graph_is_this_one(definitions: dg.Definitions) -> None:
    dimensions = {
        ("date", "instrument"): "day",
        ("instrument", "week"): "week",
    }

    def kind(partitions: dg.PartitionsDefinition | None) -> str:
        if isinstance(partitions, dg.MultiPartitionsDefinition):
            return dimensions[tuple(partitions.partition_dimension_names)]
        assert isinstance(partitions, dg.DailyPartitionsDefinition)
        return "date"

    graph = definitions.resolve_asset_graph()
    nodes = {key.to_user_string(): graph.get(key) for key in graph.get_all_asset_keys()}
    assert {
        name: (
            node.group_name,
            kind(node.partitions_def),
            {key.to_user_string() for key in node.parent_keys},
        )
        for name, node in nodes.items()
    } == GRAPH


def test_every_asset_says_what_it_is(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node, name = graph.get(key), key.to_user_string()
        assert node.description, name
        assert node.owners in (["team:data"], ["team:research"]), name
        assert node.kinds, name
        assert node.code_version, name
        if name in NO_TABLE:
            continue
        schema = node.metadata["dagster/column_schema"]
        assert all(column.description and column.type for column in schema.columns), name
        assert node.metadata["dagster/table_name"], name
    core = graph.get(dg.AssetKey(["features", "core"])).metadata["dagster/column_schema"]
    assert {column.name for column in core.columns} >= set(packs()["core"].columns)


def test_the_checks_are_these(definitions: dg.Definitions) -> None:
    assert {
        (key.asset_key.to_user_string(), key.name)
        for key in definitions.resolve_asset_graph().asset_check_keys
    } == {
        ("quality", "no_gaps"),
        ("quality", "fit_to_train"),
        ("bars", "mostly_valid"),
        ("bars", "klines_agree"),
        ("bars", "reference_agrees"),
        ("tiny/promotion", "bundle_reproduces"),
        ("tiny/parity", "parity_holds"),
    }


def test_what_would_poison_training_blocks(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    blocking = {key.name for key in graph.asset_check_keys if graph.get(key).blocking}
    assert blocking == {"fit_to_train", "klines_agree"}


def test_jobs_cover_the_graph_but_for_research(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    jobs = {job.name: job for job in repository.get_all_jobs() if not job.name.startswith("__")}
    selected = {
        name: {key.to_user_string() for key in job.asset_layer.selected_asset_keys}
        for name, job in jobs.items()
    }
    assert selected == {
        "fetch": {"archive_files"},
        "ingest": {
            "funding",
            "landed",
            "ticks",
            "klines",
            "quality",
            "bars",
            "sentiment",
            "features/core",
            "features/sentiment",
        },
        "news_and_scores": {"news", "sentiment_scores"},
        "tiny_labels": {"tiny/labels"},
        "tiny_predictions": {"tiny/model", "tiny/predictions"},
        "tiny_retrain": {"tiny/model", "tiny/backtest", "tiny/promotion"},
        "tiny_parity": {"tiny/parity"},
        "tiny_reconciliation": {"tiny/reconciliation"},
    }
    outside = {"ta_catalogue", "tiny/journal"}  # the daemon ships its journal by itself
    assert set().union(*selected.values()) | outside == set(GRAPH)


def test_schedules_and_sensors_are_these_and_off(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    assert {found.name: found.cron_schedule for found in repository.schedule_defs} == {
        "daily_news": "15 1-23 * * *",
        "daily_fetch": "20 1-23 * * *",
        "daily_ingestion": "30 1-23 * * *",
        "tiny_daily_labels": "0 2-23 * * *",
        "tiny_weekly_predictions": "0 3-23 * * *",
        "tiny_weekly_retraining": "15 3-23 * * *",
        "tiny_daily_parity": "45 2-23 * * *",
        "tiny_daily_reconciliation": "45 2-23 * * *",
    }
    for found in repository.schedule_defs:
        assert found.execution_timezone == "UTC"
        assert found.default_status is dg.DefaultScheduleStatus.STOPPED
        assert found.description
    [sensor] = repository.sensor_defs
    assert sensor.name == "new_trade_files"
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
    assert sensor.description


def test_dagster_validates_the_workspace_on_this_project(project: Project) -> None:
    command = [sys.executable, "-m", "dagster", "definitions", "validate"]
    done = subprocess.run(
        [*command, "-w", str(ROOT / "workspace.yaml")],
        cwd=ROOT,
        env=environment(project),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Validation successful for code location vostok" in done.stdout + done.stderr
    assert (project.dagster_home / "dagster.yaml").is_file()


def test_the_environment_for_other_processes_names_this_lake(
    make_project: Callable[..., Project],
) -> None:
    one, two = make_project("one"), make_project("two")
    for project in (one, two):
        variables = environment(project)
        assert variables["DAGSTER_HOME"] == str(project.lake_root / ".dagster")
        assert variables["VOSTOK_LAKE"] == str(project.lake_root)
        assert variables["VOSTOK_PROJECT"] == str(project.root)
        assert variables["PATH"] == os.environ["PATH"]
