"""A decision is asked for again when it was cut short, or made on what has been corrected since."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta

import dagster as dg
import polars as pl
import pytest

from tests.pipelines.test_schedules import (
    DAY,
    FIRST,
    MONDAY,
    SUNDAY,
    WEEK,
    A,
    Clock,
)
from vostok_core.lake.tables import table
from vostok_core.models.bundle_folder import read_manifest
from vostok_core.models.registry import (
    Promotion,
    Service,
    bundle_path,
    change_service,
    pointer_path,
    put_in_service,
)
from vostok_core.project import Project
from vostok_core.times import days
from vostok_pipelines.asked import ATTEMPTS
from vostok_pipelines.evidence import BACKTEST_TABLES
from vostok_pipelines.jobs import asset_keys
from vostok_pipelines.launch import prepare_instance
from vostok_pipelines.partitions import week_key

RETRAINING = "tiny_weekly_retraining"
PLACE = ("tiny", A)
AT = 1_710_800_000_000_000

pytestmark = pytest.mark.filterwarnings("ignore:Non-compliant tag keys")  # Dagster's, on its own


@pytest.fixture
def clock(project: Project, enqueue: Callable[..., dg.DagsterRun]) -> Iterator[Clock]:
    """Two weeks of days, the second of them predicted, and the labels of the next week's model."""
    for path in (project.lake_root / "archive").rglob("*.zip"):
        os.utime(path, (0, 0))  # long written
    home = prepare_instance(project)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        clock = Clock(project, instance, enqueue)
        written = list(days(FIRST, SUNDAY))
        clock.days_are_made(written)
        clock.weeks_are_predicted([MONDAY - WEEK])
        clock.labels_are_made(written[:-2])
        yield clock


def asked(clock: Clock) -> list[str | None]:
    return [request.partition_key for request in clock.tick(RETRAINING)]


def bundle(digit: str, week: object = MONDAY) -> Promotion:
    sha256 = digit * 64
    return Promotion(*PLACE, str(week), f"models/bundles/{sha256}", sha256)


def corrected(clock: Clock) -> None:
    """The week before was predicted anew, and otherwise, since its backtest."""
    place = {"strategy": "tiny", "instrument": A, "week": str(MONDAY - WEEK)}
    info, frame = clock.lake.load("predictions", **place)
    row: dict[str, object] = dict.fromkeys(table("predictions").schema, 0.5)
    row |= {"ts": AT, "valid": True, "model": f"of {frame.height + 1}"}
    more = pl.DataFrame([row], schema=dict(table("predictions").schema) | {"ts": pl.Int64}).cast(
        table("predictions").schema
    )
    more = more.with_columns(pl.col("ts") + timedelta(minutes=frame.height))
    clock.lake.write(
        "predictions",
        pl.concat([frame, more]),
        code_version=info.code_version,
        inputs=info.inputs,
        **place,
    )


def test_a_promotion_that_was_killed_before_the_pointer_is_asked_for_again(clock: Clock) -> None:
    week = [week_key(MONDAY, A)]
    clock.is_decided(MONDAY, enters=True, bundle="b" * 64)
    assert asked(clock) == week
    [request] = clock.tick(RETRAINING)
    assert request.asset_selection == asset_keys(["tiny/model", "tiny/backtest", "tiny/promotion"])
    assert asked(clock) == week
    # Where the model before it serves, or one of the same week that was trained before.
    put_in_service(clock.lake, bundle("a", MONDAY - WEEK), at=AT)
    assert asked(clock) == week
    put_in_service(clock.lake, bundle("a"), at=AT)
    assert asked(clock) == week
    put_in_service(clock.lake, bundle("b"), at=AT)
    assert asked(clock) == []


def test_a_refusal_has_nothing_to_carry_out(clock: Clock) -> None:
    clock.is_decided(MONDAY)
    assert asked(clock) == []


@pytest.mark.parametrize(
    "held",
    [
        Service(bundle("c", MONDAY + WEEK)),
        Service(bundle("a", MONDAY - WEEK), "ann", "it trades nonsense", AT, MONDAY),
        Service(None, "ann", "it trades nonsense", AT, MONDAY),
    ],
    ids=["a later week's", "one that a person put back", "none, as a person wants it"],
)
def test_what_may_not_enter_service_is_not_asked_for_again(clock: Clock, held: Service) -> None:
    clock.is_decided(MONDAY, enters=True, bundle="b" * 64)
    change_service(clock.lake, *PLACE, held)
    assert asked(clock) == []


def test_a_pointer_that_does_not_read_is_told_with_the_way_to_mend_it(clock: Clock) -> None:
    clock.is_decided(MONDAY, enters=True, bundle="b" * 64)
    pointer = pointer_path(clock.lake, *PLACE)
    pointer.parent.mkdir(parents=True)
    pointer.write_text("{")
    requests, why = clock.look(RETRAINING)
    assert requests == []
    assert f"whether the decision on {MONDAY} stands can't be told: {pointer}" in why
    assert "`vostok model serve tiny" in why


def test_a_decision_on_evidence_that_was_corrected_since_is_asked_for_again(clock: Clock) -> None:
    for turn in range(ATTEMPTS + 1):  # each correction has its own attempts
        clock.is_decided(MONDAY)
        assert asked(clock) == [], turn
        corrected(clock)
        requests = clock.tick(RETRAINING)
        assert [request.partition_key for request in requests] == [week_key(MONDAY, A)], turn
        clock.fail(clock.submit(RETRAINING, requests))


@pytest.mark.parametrize("name", BACKTEST_TABLES)
def test_a_decision_on_a_backtest_that_was_made_again_is_asked_for_again(
    clock: Clock, name: str
) -> None:
    clock.is_decided(MONDAY)
    place = {"strategy": "tiny", "instrument": A, "week": str(MONDAY)}
    info = clock.lake.info("promotions", **place)
    inputs = dict(info.inputs) | {name: "another"}
    rows = clock.lake.read("promotions", **place)
    clock.lake.write("promotions", rows, code_version=info.code_version, inputs=inputs, **place)
    assert asked(clock) == [week_key(MONDAY, A)]


def test_a_decision_on_a_model_that_was_trained_again_is_asked_for_again(clock: Clock) -> None:
    clock.has_models([MONDAY])
    folder = bundle_path(clock.lake, *PLACE, MONDAY)
    clock.is_decided(MONDAY, bundle=read_manifest(folder)[1])
    assert asked(clock) == []
    clock.is_decided(MONDAY, bundle="another")
    assert asked(clock) == [week_key(MONDAY, A)]
    # Its own copy is kept: the week's folder may be removed.
    shutil.rmtree(folder)
    assert asked(clock) == []


def test_a_decision_as_another_configuration_is_asked_for_again(clock: Clock) -> None:
    clock.is_decided(MONDAY)
    place = {"strategy": "tiny", "instrument": A, "week": str(MONDAY)}
    info, rows = clock.lake.load("promotions", **place)
    clock.lake.write("promotions", rows, code_version="another", inputs=info.inputs, **place)
    assert asked(clock) == [week_key(MONDAY, A)]


def test_a_decision_whose_evidence_is_gone_is_told(clock: Clock) -> None:
    clock.is_decided(MONDAY)
    shutil.rmtree(clock.lake.root / "backtest_daily")
    requests, why = clock.look(RETRAINING)
    assert requests == []
    assert f"whether the decision on {MONDAY} stands can't be told: " in why
    assert "backtest_daily has no partition" in why


def test_a_decision_that_was_found_to_stand_is_read_again_when_anything_of_it_is_swapped(
    clock: Clock,
) -> None:
    clock.is_decided(MONDAY)
    clock.age()
    assert asked(clock) == []
    place = {"strategy": "tiny", "instrument": A, "week": str(MONDAY)}
    daily = clock.lake.info("backtest_daily", **place).path
    content = daily.read_bytes()
    daily.write_bytes(b"torn")  # in place, as nothing of Vostok writes
    assert f"tiny on {A} can't be looked at: {daily}" in clock.look(RETRAINING)[1]
    daily.write_bytes(content)
    assert asked(clock) == []
    corrected(clock)
    assert asked(clock) == [week_key(MONDAY, A)]
    # A later day is none of its evidence.
    clock.is_decided(MONDAY)
    clock.age()
    assert asked(clock) == []
    clock.days_are_made([MONDAY])
    daily.write_bytes(b"torn")
    assert [r.partition_key for r in clock.tick(RETRAINING, MONDAY + DAY)] == []
