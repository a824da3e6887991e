"""What a person may do with what the gate has promoted, and what is written down of it."""

from __future__ import annotations

import json
from datetime import date

import polars as pl
import pytest

from tests.training.desk import WEEK, Desk
from vostok_core.errors import BundleError, Refused, UsageError
from vostok_core.models.registry import pointer_path, promoted, promotion, service
from vostok_core.promotion.service import candidates, serve, standing, withdraw
from vostok_core.times import DAY, utc

AT = 1_711_400_000_000_000
ANN = {"by": "ann", "why": "it trades nonsense"}


@pytest.fixture
def in_service(desk) -> Desk:
    desk.excel()
    assert desk.decide().in_service
    return desk


def pointer(desk: Desk):
    return pointer_path(desk.lake, *desk.place.values())


def later_in_service(desk: Desk) -> date:
    """Have the gate promote the next week's model too: the same bytes but for its week."""
    later = desk.week + WEEK
    info, frame = desk.lake.load("promotions", **desk.place, week=desk.week)
    held = json.loads(pointer(desk).read_text())
    named = {
        "week": str(later),
        "bundle": "models/bundles/" + "a" * 64,
        "manifest_sha256": "a" * 64,
    }
    frame = frame.with_columns(bundle=pl.lit("a" * 64))
    desk.write("promotions", later, frame, dict(info.inputs))
    pointer(desk).write_text(json.dumps(held | named))
    return later


def test_the_way_back_to_the_model_before_is_a_command_and_holds_until_a_later_week(
    in_service,
) -> None:
    desk, place = in_service, in_service.place.values()
    first = desk.pointer
    later = later_in_service(desk)
    assert desk.decide().standing.startswith("not in service: that of a later week is")
    assert serve(desk.lake, *place, desk.week, at=AT, **ANN) == first
    assert promoted(desk.lake, *place).sha256 == first.manifest_sha256
    held = service(desk.lake, *place)
    assert (held.by, held.why, held.at, held.instead_of) == (*ANN.values(), AT, later)
    # The gate's decision on the week that was set aside does not undo it; that on a later one does.
    assert not held.admits(later)
    assert held.admits(later + WEEK)
    said = standing(desk.lake, *place, later)
    assert said == (
        "not in service: ann set it aside on 2024-03-25 (it trades nonsense); in service is the "
        f"model of {desk.week}"
    )
    assert standing(desk.lake, *place, desk.week) == "it is in service"


def test_each_change_of_what_is_in_service_is_a_row_that_says_who_and_why(in_service) -> None:
    desk, place = in_service, in_service.place.values()
    withdraw(desk.lake, *place, at=AT, **ANN)
    assert promoted(desk.lake, *place) is None
    assert not desk.decide().in_service
    serve(desk.lake, *place, desk.week, by="bob", why="the exchange was at fault", at=AT + DAY)
    rows = desk.lake.read("service", **desk.place).to_dicts()
    sha256 = desk.pointer.manifest_sha256
    assert [(row["by"], row["bundle"], row["instead_of"]) for row in rows] == [
        ("gate", sha256, None),
        ("ann", None, desk.week),
        ("bob", sha256, None),
    ]
    assert rows[0]["why"] == "Promoted: all 10 rules hold."
    assert [row["ts"] for row in rows[1:]] == [utc(AT), utc(AT + DAY)]


def test_a_row_that_a_kill_kept_from_being_written_is_written_at_the_next_change(
    in_service,
) -> None:
    desk, place = in_service, in_service.place.values()
    before = desk.lake.read("service", **desk.place)
    desk.lake.info("service", **desk.place).path.unlink()
    withdraw(desk.lake, *place, at=AT, **ANN)
    rows = desk.lake.read("service", **desk.place)
    assert rows.head(1).equals(before)
    assert rows["by"].to_list() == ["gate", "ann"]


@pytest.mark.parametrize("damage", ["deleted", "torn", "elsewhere"])
def test_a_pointer_that_is_lost_is_put_back_by_the_command_that_its_error_names(
    in_service, damage: str
) -> None:
    desk, place = in_service, in_service.place.values()
    # A later week was walked, so that deciding this one on other evidence would promote nothing.
    path = desk.lake.read("backtest_daily", **desk.place, week=desk.week)
    desk.log(pl.concat([path, path.tail(1).with_columns(pl.col("date") + WEEK)]))
    if damage == "deleted":
        pointer(desk).unlink()
    else:
        content = {"torn": '{"week": ', "elsewhere": '{"week": "2024-03-18", "bundle": "/tmp"}'}
        pointer(desk).write_text(content[damage])
        with pytest.raises(BundleError) as caught:
            promotion(desk.lake, *place)
        named = f"`vostok model serve tiny --instrument {desk.place['instrument']} --week WEEK"
        assert named in caught.value.hint
    serve(desk.lake, *place, desk.week, at=AT, by="ann", why="the file was lost")
    assert promoted(desk.lake, *place) is not None
    # It set nothing aside: the gate may decide the week again.
    assert service(desk.lake, *place).instead_of is None
    assert desk.decide().in_service


def test_what_the_gate_did_not_put_into_service_can_not_be_served(desk) -> None:
    place = desk.place.values()
    desk.decide()  # refused
    with pytest.raises(Refused, match="has put no model"):
        serve(desk.lake, *place, desk.week, at=AT, **ANN)
    # Promoted at an end that could be chosen, which is kept all the same.
    desk.excel()
    path = desk.lake.read("backtest_daily", **desk.place, week=desk.week)
    desk.log(pl.concat([path, path.tail(1).with_columns(pl.col("date") + WEEK)]))
    assert desk.decide().decision.promoted
    with pytest.raises(Refused, match="has put no model") as caught:
        serve(desk.lake, *place, desk.week, at=AT, **ANN)
    assert "`vostok model list tiny`" in caught.value.hint
    assert desk.pointer is None


def test_a_model_that_the_gate_refuses_by_now_can_not_be_served(in_service) -> None:
    desk, place = in_service, in_service.place.values()
    trades = desk.lake.read("backtest_trades", **desk.place, week=desk.week)
    desk.rewrite("backtest_trades", trades[:3])
    assert not desk.decide().decision.promoted
    with pytest.raises(Refused, match=r"the newest decision on the model .* is a refusal"):
        serve(desk.lake, *place, desk.week, at=AT, **ANN)


def test_a_kept_model_that_was_altered_is_not_served(in_service) -> None:
    desk, place = in_service, in_service.place.values()
    before = pointer(desk).read_bytes()
    arrays = desk.lake.root / desk.pointer.bundle / "arrays.npz"
    arrays.write_bytes(arrays.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match="altered"):
        serve(desk.lake, *place, desk.week, at=AT, **ANN)
    assert pointer(desk).read_bytes() == before


@pytest.mark.parametrize("missing", ["by", "why"])
def test_nothing_is_changed_without_saying_who_and_why(in_service, missing: str) -> None:
    desk, place = in_service, in_service.place.values()
    for act in (withdraw, lambda *a, **k: serve(*a, desk.week, **k)):
        with pytest.raises(UsageError, match="not said"):
            act(desk.lake, *place, at=AT, **{**ANN, missing: " "})


def test_nothing_can_be_withdrawn_where_nothing_is_in_service(in_service) -> None:
    desk, place = in_service, in_service.place.values()
    withdraw(desk.lake, *place, at=AT, **ANN)
    with pytest.raises(Refused, match="no model of tiny is in service"):
        withdraw(desk.lake, *place, at=AT, **ANN)


def test_of_two_models_of_a_week_one_has_to_be_named(in_service) -> None:
    desk, place = in_service, in_service.place.values()
    first = desk.pointer.manifest_sha256
    labels = {**desk.place, "date": desk.week - 3 * (WEEK / 7)}
    info, frame = desk.lake.load("labels", **labels)
    desk.lake.write(
        "labels", frame[:-1], code_version=info.code_version, inputs=info.inputs, **labels
    )
    second = desk.train(desk.week)
    assert desk.decide().in_service
    assert desk.pointer.manifest_sha256 == second != first
    assert {each.bundle for each in candidates(desk.lake, *place)} == {first, second}
    with pytest.raises(UsageError, match="has 2 models"):
        serve(desk.lake, *place, desk.week, at=AT, **ANN)
    serve(desk.lake, *place, desk.week, at=AT, bundle=first[:12], **ANN)
    assert desk.pointer.manifest_sha256 == first


def test_a_pointer_from_before_it_said_who_and_why_is_read_and_noted(in_service) -> None:
    desk, place = in_service, in_service.place.values()
    desk.lake.info("service", **desk.place).path.unlink()
    said = json.loads(pointer(desk).read_text())
    old = {
        name: said[name] for name in ("strategy", "instrument", "week", "bundle", "manifest_sha256")
    }
    pointer(desk).write_text(json.dumps(old))
    assert promoted(desk.lake, *place) is not None
    before = pointer(desk).read_bytes()
    desk.decide()
    assert pointer(desk).read_bytes() == before
    (row,) = desk.lake.read("service", **desk.place).to_dicts()
    assert (row["ts"], row["by"], row["week"]) == (None, "gate", desk.week)
