"""What Dagster makes of recordings and shows of them, by real sensors and real runs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from tests.live.recorder_world import depth_line, quote_line, trade_line, write_lines
from vostok_core.lake.recorder_folder import SUFFIX
from vostok_core.market.book_days import MADE, book_days
from vostok_core.project import Project, find_project
from vostok_core.times import SECOND
from vostok_live.recorder.landing import land_capture
from vostok_live.recorder.lease import RecorderLease
from vostok_pipelines.assets.book import book_checks
from vostok_pipelines.definitions import build_definitions
from vostok_pipelines.launch import Launcher, prepare_instance
from vostok_pipelines.partitions import RANGE_END, RANGE_START, date_key
from vostok_pipelines.recordings import look_at

A, B = "test.spot.AAA-USD", "test.spot.BBB-USD"
DAY, NEXT = date(2025, 3, 31), date(2025, 4, 1)
SYMBOL = "AAAUSD"


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    """The small project, whose first instrument is recorded; without news."""
    root = make_project().root
    path = root / "vostok.toml"
    path.write_text(f'[recorder]\ninstruments = ["{A}"]\n{path.read_text()}')
    (root / "strategies" / "tiny.toml").unlink()
    return find_project(root, {})


class Place:
    """The project, and what its sensors say."""

    def __init__(self, project: Project, instance: dg.DagsterInstance) -> None:
        self.project = project
        self.instance = instance
        self.definitions = build_definitions(project)
        self.cursor: str | None = None

    @property
    def folder(self) -> Path:
        return self.project.recorder_folder / A

    def land(self, *lines: str, name: str = "capture") -> None:
        path = write_lines(self.project.root / name, lines)
        instrument = self.project.settings.instrument(A)
        land_capture(self.project.open_lake(), instrument, path)

    def look(self, name: str) -> dg.SensorResult | object:
        sensor = self.definitions.get_repository_def().get_sensor_def(name)
        with dg.build_sensor_context(
            instance=self.instance, definitions=self.definitions, sensor_name=name,
            cursor=self.cursor,
        ) as context:  # fmt: skip
            data = sensor.evaluate_tick(context)
        self.cursor = data.cursor
        return data

    def asked(self, name: str) -> list[tuple[str, str]]:
        requests = self.look(name).run_requests or []  # type: ignore[union-attr]
        return [(r.tags[RANGE_START], r.tags[RANGE_END]) for r in requests]

    def heartbeat(self, **content: object) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "heartbeat.json").write_text(json.dumps(content))


@pytest.fixture
def place(project: Project) -> Iterator[Place]:
    project.open_lake()
    home = prepare_instance(project)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield Place(project, instance)


def trades(*seconds: float) -> list[str]:
    return [trade_line(k, s, symbol=SYMBOL) for k, s in enumerate(seconds, 1)]


def book(*seconds: float) -> list[str]:
    return [
        line
        for k, s in enumerate(seconds, 1)
        for line in (quote_line(k, s, symbol=SYMBOL), depth_line(k, k, s, symbol=SYMBOL))
    ]


def test_books_have_partitions_for_recorded_instruments_alone(place: Place) -> None:
    graph = place.definitions.resolve_asset_graph()
    for name in MADE:
        node = graph.get(dg.AssetKey(name))
        assert {key.to_user_string() for key in node.parent_keys} == {"recordings"}
        assert node.description
        partitions = node.partitions_def
        assert partitions is not None
        assert partitions.has_partition_key(date_key(DAY, A))
        assert not partitions.has_partition_key(date_key(DAY, B))
    assert graph.get(dg.AssetKey("recordings")).partitions_def is None
    checks = {(k.asset_key.to_user_string(), k.name) for k in graph.asset_check_keys}
    assert {("recordings", "is_recording"), ("book_quality", "book_is_known")} <= checks
    repository = place.definitions.get_repository_def()
    sensors = {found.name: found for found in repository.sensor_defs}
    assert set(sensors) == {"new_trade_files", "recorded_books", "watch_recordings"}
    for sensor in sensors.values():
        assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
        assert sensor.description


def test_days_of_a_book_are_made_once_they_are_whole_and_anew_when_more_comes(
    place: Place,
) -> None:
    assert place.asked("recorded_books") == []
    place.land(*book(1, 2, 3_601, 3_700))
    waiting = place.folder / f"20250401T00-00000001{SUFFIX}"
    write_lines(waiting, ["half a line"])
    both = date_key(DAY, A), date_key(NEXT, A)
    assert place.asked("recorded_books") == [(both[0], both[0])], "the other is not whole"
    waiting.unlink()
    assert place.asked("recorded_books") == [both]
    Launcher(place.project).materialize(list(MADE), A, DAY, NEXT)
    assert place.asked("recorded_books") == []
    lake = place.project.open_lake()
    assert book_days(lake, A) == [DAY, NEXT]
    for day in (DAY, NEXT):
        assert lake.read("quotes", instrument=A, date=day).height == 2
    place.land(*book(5), name="another")  # of the first day, which the second looks at
    assert place.asked("recorded_books") == [both]


def test_a_run_shows_the_spans_that_are_not_known(place: Place) -> None:
    place.land(*book(1, 2))
    Launcher(place.project).materialize(list(MADE), A, DAY, DAY)
    (run,) = place.instance.get_runs()
    events = place.instance.all_logs(run.run_id, dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    (event,) = (each.dagster_event for each in events)
    assert event is not None
    found = event.asset_check_evaluation_data
    assert found.check_name == "book_is_known"
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert "nothing was recorded before" in found.metadata["first"].value


def test_a_day_with_recorded_trades_is_due_like_one_that_has_landed(place: Place) -> None:
    for path in (place.project.lake_root / "archive").rglob("*.zip"):
        path.unlink()
    assert place.asked("new_trade_files") == []
    place.land(*trades(1, 2, 3_601))
    waiting = place.folder / f"20250331T23-00000001{SUFFIX}"
    write_lines(waiting, ["half a line"])
    both = date_key(DAY, A), date_key(NEXT, A)
    # The first is not whole, and the second begins where it ends.
    assert place.asked("new_trade_files") == []
    waiting.unlink()
    assert place.asked("new_trade_files") == [both]
    chain = ["landed", "ticks", "quality", "bars", "features"]
    Launcher(place.project).materialize(chain, A, DAY, NEXT)
    assert place.asked("new_trade_files") == []
    lake = place.project.open_lake()
    assert lake.read("ticks", instrument=A, date=DAY).height == 2


def observed(data: object) -> tuple[dict[str, object], bool] | None:
    events = data.asset_events  # type: ignore[attr-defined]
    if not events:
        return None
    observation, evaluation = events
    assert isinstance(observation, dg.AssetObservation)
    assert isinstance(evaluation, dg.AssetCheckEvaluation)
    plain = {name: value.value for name, value in observation.metadata.items()}
    return plain, evaluation.passed


def test_the_state_of_recordings_is_shown_when_it_changes(place: Place) -> None:
    found = observed(place.look("watch_recordings"))
    assert found is not None
    metadata, passed = found
    assert not passed
    assert "it was never recorded: start `vostok-live record" in str(metadata["recordings"])
    assert observed(place.look("watch_recordings")) is None, "nothing has changed"

    place.land(*trades(1, 2), *book(3))
    lease = RecorderLease.take(place.folder)
    now = int(time.time() * SECOND)
    market = 1_743_462_000 * SECOND
    beat = {
        "state": "recording", "now_us": now, "last_frame_us": now - 2 * SECOND,
        "market_ts": market, "pid": os.getpid(), "landing": None,
    }  # fmt: skip
    place.heartbeat(**beat)
    found = observed(place.look("watch_recordings"))
    assert found is not None
    metadata, passed = found
    assert passed
    assert (metadata["recording"], metadata["hours_landed"], metadata["seams"]) == (1, 1, 0)
    assert 1.5 < metadata["newest_frame_age_s"] < 30  # type: ignore[operator]

    for change, said in (
        ({"now_us": now - 90 * SECOND}, "no heartbeat for 9"),
        ({"state": "disconnected"}, "no connection carries"),
        ({"last_frame_us": now - 3_600 * SECOND}, "no frame for 36"),
        ({"landing": "the disk is full"}, "can't be landed: the disk is full"),
    ):
        place.heartbeat(**beat | change)
        place.cursor = None
        found = observed(place.look("watch_recordings"))
        assert found is not None
        assert not found[1]
        assert said in str(found[0]["recordings"])

    place.heartbeat(**beat)
    lease.give_back()
    found = observed(place.look("watch_recordings"))
    assert found is not None
    assert "killed" in str(found[0]["recordings"])
    assert not found[1]


def test_the_check_can_be_run_by_a_person(place: Place) -> None:
    (check,) = book_checks(place.project)
    evaluated = check()
    assert isinstance(evaluated, dg.AssetCheckResult)
    assert not evaluated.passed


def test_yesterday_and_today_are_counted(place: Place) -> None:
    place.land(*trades(1, 3_601))
    instrument = place.project.settings.instrument(A)
    place.heartbeat(state="stopped", market_ts=1_743_466_000 * SECOND)
    seen = look_at(place.project, instrument)
    assert seen.hours == 1
    assert seen.state == "stopped"
    later = 1_743_466_000 + 3 * 86_400
    place.heartbeat(state="stopped", market_ts=later * SECOND)
    assert look_at(place.project, instrument).hours == 0
