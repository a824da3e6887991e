"""What labels and predictions show in the Dagster UI, and which outcomes count as known."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.project import Project
from vostok_core.times import days
from vostok_pipelines import plots
from vostok_pipelines.jobs import day_assets
from vostok_pipelines.launch import Launcher
from vostok_pipelines.outcomes import LABEL_DAYS, PREDICTED_WEEKS, known_outcomes, recent_labels
from vostok_pipelines.partitions import date_key, week_key

A = "test.spot.AAA-USD"
FIRST, MONDAY, LAST = date(2024, 3, 4), date(2024, 3, 11), date(2024, 3, 18)
PLACE = {"strategy": "tiny", "instrument": A}


def at(day: date, hour: int) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hour)


def label(ts: datetime, *, won: bool, ends: datetime, valid: bool = True) -> dict[str, object]:
    prices = {"reference": 1.0, "take_profit": 1.1, "stop_loss": 0.9, "entry_price": 1.0}
    net = 0.01 if won else -0.01
    return prices | {
        "ts": ts,
        "side": 1,
        "sigma": 0.01,
        "entry_ts": ts,
        "label_end": ends,
        "exit_price": 1.0,
        "touch": "time",
        "ambiguous": False,
        "gross_return": net,
        "net_return": net,
        "label": int(won),
        "valid": valid,
    }


def prediction(ts: datetime, probability: float, *, valid: bool = True) -> dict[str, object]:
    return {
        "ts": ts,
        "score": 0.0,
        "probability": probability,
        "threshold": 0.5,
        "sigma": 0.01,
        "reference": 1.0,
        "valid": valid,
        "model": "m",
    }


def write(lake: Lake, name: str, rows: list[dict[str, object]], **keys: date) -> None:
    schema = table(name).schema
    frame = pl.DataFrame(rows, schema=schema) if rows else table(name).empty()
    lake.write(name, frame.select(*schema), code_version="t", **PLACE, **keys)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(tmp_path)


def test_an_outcome_is_known_once_its_label_has_ended_before_the_week(lake: Lake) -> None:
    sunday, after = MONDAY + timedelta(days=6), MONDAY + timedelta(days=7)
    of_first = [prediction(at(FIRST, 0), 0.0), prediction(at(FIRST, 1), 0.1)]
    write(lake, "predictions", of_first, week=FIRST)
    rows = [
        (at(MONDAY, 0), 0.2, True),  # the bar that ends at midnight: its label is Sunday's
        (at(MONDAY, 5), 0.3, True),
        (at(MONDAY, 6), 0.4, False),  # not valid
        (at(MONDAY, 7), 0.5, True),  # its label is not valid
        (at(MONDAY, 8), 0.6, True),  # has no label
        (at(sunday, 22), 0.7, True),
        (at(sunday, 23), 0.8, True),  # its label ends with the week
    ]
    write(lake, "predictions", [prediction(t, p, valid=v) for t, p, v in rows], week=MONDAY)
    before = MONDAY - timedelta(days=1)
    earlier = FIRST - timedelta(days=1)
    write(lake, "labels", [label(at(FIRST, 0), won=False, ends=at(FIRST, 1))], date=earlier)
    write(lake, "labels", [label(at(FIRST, 1), won=True, ends=at(FIRST, 2))], date=FIRST)
    write(lake, "labels", [label(at(MONDAY, 0), won=False, ends=at(MONDAY, 1))], date=before)
    ends = at(MONDAY, 9)
    of_monday = [
        label(at(MONDAY, 5), won=True, ends=ends),
        label(at(MONDAY, 6), won=True, ends=ends),
        label(at(MONDAY, 7), won=True, ends=ends, valid=False),
    ]
    write(lake, "labels", of_monday, date=MONDAY)
    of_sunday = [
        label(at(sunday, 22), won=True, ends=at(sunday, 23)),
        label(at(sunday, 23), won=True, ends=at(after, 0)),
    ]
    write(lake, "labels", of_sunday, date=sunday)
    known = known_outcomes(lake, "tiny", A, MONDAY)
    assert known.rows() == [
        (at(FIRST, 0), 0.0, 0),
        (at(FIRST, 1), 0.1, 1),
        (at(MONDAY, 0), 0.2, 0),
        (at(MONDAY, 5), 0.3, 1),
        (at(sunday, 22), 0.7, 1),
    ]
    # A week later nothing of the earlier one has become unknown, and what was open is known.
    write(lake, "predictions", [], week=after)
    assert known_outcomes(lake, "tiny", A, after)["probability"].to_list() == [
        *known["probability"],
        0.8,
    ]
    assert known_outcomes(lake, "tiny", A, FIRST)["probability"].to_list() == [0.0, 0.1]
    newest = FIRST + timedelta(weeks=PREDICTED_WEEKS - 1)
    assert known_outcomes(lake, "tiny", A, newest)["probability"].to_list()[:2] == [0.0, 0.1]
    newest += timedelta(weeks=1)
    assert known_outcomes(lake, "tiny", A, newest)["probability"].to_list()[:2] == [0.2, 0.3]


def test_recent_labels_are_the_valid_ones_of_the_last_days_that_are_there(lake: Lake) -> None:
    assert recent_labels(lake, "tiny", A, FIRST).is_empty()
    wanted = list(days(LAST - timedelta(days=LABEL_DAYS), LAST + timedelta(days=1)))
    for day in wanted:
        if day == MONDAY:
            continue
        both = [
            label(at(day, 1), won=True, ends=at(day, 2)),
            label(at(day, 3), won=True, ends=at(day, 4), valid=False),
        ]
        write(lake, "labels", both, date=day)
    found = recent_labels(lake, "tiny", A, LAST)["ts"].to_list()
    assert found == [at(day, 1) for day in wanted[1:-1] if day != MONDAY]


def test_labels_and_predictions_carry_their_pictures(project: Project) -> None:
    launcher = Launcher(project)
    launcher.materialize(["news", "sentiment_scores"], None, FIRST, LAST)
    launcher.materialize(day_assets(project, A), A, FIRST, LAST)
    labelled = LAST - timedelta(days=1)
    launcher.materialize(["tiny/labels"], A, FIRST, labelled)
    launcher.materialize(["tiny/model", "tiny/predictions"], A, MONDAY, MONDAY)
    lake = project.open_lake()
    known = known_outcomes(lake, "tiny", A, MONDAY)
    assert known.height > 100
    predictions = lake.read("predictions", **PLACE, week=MONDAY)
    expected = {
        ("labels", "plot"): plots.label_outcomes(
            recent_labels(lake, "tiny", A, labelled), f"{A} to {labelled}"
        ),
        ("predictions", "plot"): plots.probabilities(predictions),
        ("predictions", "reliability"): plots.reliability(
            known, f"Reliability, {A}, weeks to {MONDAY}"
        ),
    }
    keys = {"labels": date_key(labelled, A), "predictions": week_key(MONDAY, A)}
    with dg.DagsterInstance.from_config(str(project.dagster_home)) as instance:
        for (asset, name), png in expected.items():
            records = instance.fetch_materializations(
                dg.AssetRecordsFilter(
                    asset_key=dg.AssetKey(["tiny", asset]), asset_partitions=[keys[asset]]
                ),
                limit=2,
            ).records
            [event] = [record.asset_materialization for record in records]
            assert event is not None
            encoded = base64.b64encode(png).decode()
            assert event.metadata[name].value == f"![plot](data:image/png;base64,{encoded})"
