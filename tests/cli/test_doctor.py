"""The doctor finds what it looks for, and changes nothing."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from vostok.context import Context
from vostok.doctor import check_clock, check_dependencies, diagnose
from vostok_core.lake.store import FORMAT_VERSION, Lake


def statuses(folder: Path) -> dict[str, str]:
    return {f.name: f.status for f in diagnose(Context(start=folder, environ={}))}


def finding(folder: Path, name: str):
    (found,) = (f for f in diagnose(Context(start=folder, environ={})) if f.name == name)
    return found


def test_healthy_project_has_no_failure_and_is_left_as_it_was(folder: Path, vostok) -> None:
    before = sorted(folder.rglob("*"))
    result = vostok("doctor", "--json")
    assert result.exit_code == 0
    found = {f["name"]: f["status"] for f in json.loads(result.stdout)}
    assert set(found) == {
        "python", "dependencies", "kernel cache", "clock", "settings", "strategies", "lake",
        "disk", "temporary files", "dagster",
    }  # fmt: skip
    assert "fail" not in found.values()
    assert sorted(folder.rglob("*")) == before


def test_every_finding_that_is_not_ok_has_a_hint(folder: Path) -> None:
    (folder / "strategies" / "flow.toml").write_text("description = 1")
    (folder / "data_lake").write_text("not a folder")
    bad = [f for f in diagnose(Context(start=folder, environ={})) if f.status != "ok"]
    assert {f.name for f in bad} >= {"strategies", "lake"}
    assert all(f.hint for f in bad)


def test_failure_exits_with_1_and_shows_the_hint(folder: Path, vostok) -> None:
    (folder / "strategies" / "flow.toml").write_text("description = 1")
    result = vostok("doctor")
    assert result.exit_code == 1
    assert "docs/strategies.md" in result.stdout


def test_broken_settings_are_found_and_the_rest_is_not_guessed_at(folder: Path) -> None:
    (folder / "vostok.toml").write_text("lake = 3")
    found = statuses(folder)
    assert found["settings"] == "fail"
    assert "lake" not in found


def test_lake_of_a_newer_version_is_a_failure(folder: Path) -> None:
    Lake.open(folder / "data_lake")
    (folder / "data_lake" / "vostok-lake.json").write_text(
        json.dumps({"format": FORMAT_VERSION + 1})
    )
    assert finding(folder, "lake").status == "fail"
    assert "update Vostok" in finding(folder, "lake").hint


def test_folder_of_other_things_is_no_lake(folder: Path) -> None:
    (folder / "data_lake").mkdir()
    (folder / "data_lake" / ".gitkeep").touch()
    assert finding(folder, "lake").status == "ok"
    (folder / "data_lake" / "photo.jpg").touch()
    assert finding(folder, "lake").status == "warn"


def test_only_old_temporary_files_are_stale(folder: Path) -> None:
    place = folder / "data_lake" / "bars"
    place.mkdir(parents=True)
    left = place / ".part-0.parquet.1234.tmp"
    left.write_bytes(b"half")
    assert finding(folder, "temporary files").status == "ok"
    hours_ago = time.time() - 7200
    os.utime(left, (hours_ago, hours_ago))
    found = finding(folder, "temporary files")
    assert found.status == "warn"
    assert str(left) in found.detail
    assert left.exists()


def test_other_versions_than_the_pinned_ones_are_named(tmp_path: Path) -> None:
    pins = tmp_path / "constraints.txt"
    pins.write_text("# comment\npolars==0.1\nno-such-package==1.0\n")
    found = check_dependencies(pins)
    assert found.status == "warn"
    assert "polars" in found.detail
    assert "no-such-package" not in found.detail


def test_clock_behind_a_written_file_is_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "written"
    file.touch()
    assert check_clock(file).status == "ok"
    tomorrow = time.time() + 86_400
    os.utime(file, (tomorrow, tomorrow))
    assert check_clock(file).status == "fail"


def test_unreadable_instance_is_a_failure_not_a_crash(folder: Path) -> None:
    home = folder / "data_lake" / ".dagster"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text("storage:\n  module: no.such.module\n  class: Nothing\n")
    found = finding(folder, "dagster")
    assert found.status == "fail"
    assert found.hint
