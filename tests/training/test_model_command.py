"""`vostok model`: what may serve, and putting it into service and taking it out."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from tests.training.desk import Desk
from vostok.cli.app import app
from vostok_core.models.registry import pointer_path, promoted, service

SETTINGS = """
[instruments."test.spot.AAA-USD"]
tick = "trade"
price_tick = "0.01"
quantity_step = "0.001"
"""


@pytest.fixture
def vostok(desk: Desk, tmp_path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Call the command line on the desk's lake, in which a model is in service."""
    desk.excel()
    assert desk.decide().in_service
    (tmp_path / "strategies").mkdir()
    (tmp_path / "vostok.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOSTOK_LAKE", str(desk.lake.root))
    return lambda *arguments: CliRunner().invoke(app, ["model", *map(str, arguments)])


def named(desk: Desk) -> tuple[str, ...]:
    return ("tiny", "--instrument", desk.place["instrument"])


def test_what_is_in_service_and_what_may_be_is_listed(vostok, desk) -> None:
    sha256 = desk.pointer.manifest_sha256
    (row,) = vostok("list").stdout.splitlines()[1:]
    names = ["tiny", desk.place["instrument"], str(desk.week), sha256[:16], "promoted"]
    assert row.split()[:5] == names
    assert "in service since" in row
    assert row.endswith("by gate")
    (shown,) = json.loads(vostok("list", "tiny", "--json").stdout)
    assert shown == {
        "strategy": "tiny",
        "instrument": desk.place["instrument"],
        "week": str(desk.week),
        "bundle": sha256,
        "decision": "promoted",
        "in_service": True,
        "may_serve": True,
    }
    assert json.loads(vostok("list", "another", "--json").stdout) == []


def test_a_model_is_taken_out_and_put_back_by_name(vostok, desk) -> None:
    gone = vostok("withdraw", *named(desk), "--why", "it trades nonsense", "--by", "ann")
    assert gone.exit_code == 0, gone.output
    assert gone.stdout == (
        f"tiny on {desk.place['instrument']}: nothing is in service; the model of {desk.week} was\n"
    )
    assert promoted(desk.lake, *desk.place.values()) is None
    assert vostok("list").stdout.rstrip().endswith("may serve")
    again = vostok("withdraw", *named(desk), "--why", "it trades nonsense")
    assert again.exit_code == 3
    assert again.stderr.startswith("Refused: ")
    back = vostok("serve", *named(desk), "--week", desk.week, "--why", "it was the exchange")
    assert back.exit_code == 0, back.output
    assert back.stdout.endswith(f"{desk.pointer.manifest_sha256[:16]}, is in service\n")
    held = service(desk.lake, *desk.place.values())
    assert held.why == "it was the exchange"
    assert held.by
    assert held.by != "gate"
    assert held.at > 1_700_000_000_000_000


def test_a_damaged_pointer_is_said_and_mended_by_what_its_hint_names(vostok, desk) -> None:
    pointer = pointer_path(desk.lake, *desk.place.values())
    pointer.write_text("{")
    listed = vostok("list")
    assert listed.exit_code == 1
    assert "doesn't read" in listed.stderr
    hint = f"`vostok model serve {' '.join(named(desk))} --week WEEK --why TEXT`"
    assert hint in listed.stderr
    assert listed.stdout.rstrip().endswith("may serve")  # which week, the list says
    words = hint.strip("`").replace("WEEK", str(desk.week)).split()[2:]
    assert vostok(*words).exit_code == 0
    assert promoted(desk.lake, *desk.place.values()) is not None


def test_a_week_that_is_none_is_refused(vostok, desk) -> None:
    result = vostok("serve", *named(desk), "--week", "2024-03-13", "--why", "x")
    assert result.exit_code == 2
    assert "named by its Monday" in result.stderr
