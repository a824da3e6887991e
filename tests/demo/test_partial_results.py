"""A demo that doesn't end well: what it says, and what its file says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console
from rich.progress import Progress

from vostok.demo import world
from vostok.demo.result import DemoResult
from vostok.demo.run import _walk, run_demo
from vostok_core.errors import MissingPartition, SettingsError
from vostok_core.project import find_project

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "docs" / "demo.schema.json").read_text())


def follows(document: dict) -> bool:
    checker = jsonschema.FormatChecker()
    return jsonschema.Draft202012Validator(SCHEMA, format_checker=checker).is_valid(document)


def test_failed_demo_leaves_a_file_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text('{"of": "an earlier demo"}')
    away = {"VOSTOK_SOURCES__ARCHIVES": f'{{ demo = "{tmp_path}" }}'}
    project = find_project(ROOT, away, tmp_path / "lake")
    with pytest.raises(SettingsError, match="not inside the lake"):
        run_demo(project, 1, path)
    found = json.loads(path.read_text())
    assert follows(found)
    assert found["status"] == "failed"
    assert "not inside the lake" in found["error"]
    assert "Hint: " in found["error"]
    assert found["promotions"] == []


def test_schema_takes_no_part_for_the_whole() -> None:
    part = DemoResult(1).as_json()
    assert part["status"] == "running"
    assert follows(part)
    assert not follows(part | {"status": "done"})
    assert not follows(part | {"status": "failed"})
    assert follows(part | {"status": "failed", "error": "it broke"})
    decisions = [
        {"instrument": name, "strategy": "s", "planted": 0.0, "decision": "refused"}
        | {"rules": [rule]}
        for name in ("a", "b")
        for rule in ({"name": "r", "value": 1.0, "bound": 2.0, "verdict": "fail", "reason": "x"},)
    ]
    whole = part | {
        "status": "done",
        "run_ids": ["9f0b0f2e-3a52-4c3f-8b1c-0a6d7e8f9a0b"],
        "gate_profile_hash": "ab" * 32,
        "promotions": decisions,
        "report": "index.html",
    }
    assert follows(whole)
    for status in ("running", "failed", "interrupted"):
        assert not follows(whole | {"status": status})
    for name in ("run_ids", "gate_profile_hash", "promotions", "report"):
        assert not follows(whole | {name: part[name]}), name


@pytest.mark.long
def test_error_in_a_worker_comes_out_as_it_was_raised_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From an asset through Dagster, and from the worker's process to this one."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    project = find_project(ROOT, {}, tmp_path / "lake")
    project.open_lake()
    with pytest.raises(MissingPartition) as caught, Progress(console=Console(quiet=True)) as bars:
        _walk(project, DemoResult(1), bars)
    error = caught.value
    match = re.fullmatch(r"(.+): run [0-9a-f]{8}, landed", str(error.where))
    assert match is not None, error.where
    assert match[1] in (world.EDGE, world.NULL)
    days = world.history_days()
    assert error.what == (
        f"{len(days)} days can't be used: {match[1]} {days[0]} to {days[-1]}: nothing has landed "
        f"for {match[1]} on {days[0]} ({tmp_path}/lake/archive/demo)"
    )
    assert error.hint is not None
    assert "vostok ingest" in error.hint
    assert "in landed" in error.__notes__[0]
