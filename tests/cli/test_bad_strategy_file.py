"""A strategy file that can't be used stops what names its strategy, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSTRUMENT = "binance.spot.BTC-USDT"
DAY = ("--from", "2024-01-01", "--to", "2024-01-01")
WEEKS = ("--from", "2024-01-08", "--to", "2024-01-08")


@pytest.fixture
def bad(folder: Path) -> Path:
    """A file with a slip of the pen beside a sound one."""
    path = folder / "strategies" / "bad.toml"
    sound = (folder / "strategies" / "flow.toml").read_text()
    path.write_text(f"{sound}[model]\ntrainweeks = 3\n")
    return path


def warning(bad: Path) -> str:
    return (
        f"Warning: {bad} can't be used, and its strategy is left out. Hint: `vostok strategy "
        "check` says what is wrong\n"
    )


def test_commands_that_do_not_name_it_do_their_work_and_warn_in_one_line(
    folder: Path, bad: Path, vostok, agg_trades: Callable[..., str]
) -> None:
    (folder / "day.csv").write_text(agg_trades())
    arguments = ("--instrument", INSTRUMENT, "--format", "binance-aggtrades")
    for command in (
        ("ingest", "day.csv", *arguments),
        ("materialize", "bars", "--instrument", INSTRUMENT, *DAY),
    ):
        result = vostok(*command)
        assert result.exit_code == 0, result.output
        assert result.stderr == warning(bad)
    for command, error in (
        (("materialize", "flow/labels", "--instrument", INSTRUMENT, *DAY), "labels"),
        (("walk-forward", "flow", "--instrument", INSTRUMENT, *WEEKS), "no bars"),
    ):
        result = vostok(*command)
        assert result.exit_code == 1, result.output
        first, second = result.stderr.splitlines(keepends=True)
        assert first == warning(bad)
        assert error in second
    for silent in (("sql", "SELECT 1"), ("ingest", "day.csv", *arguments, "--land-only")):
        result = vostok(*silent)
        assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "command",
    [
        ("materialize", "bad/labels", "--instrument", INSTRUMENT, *DAY),
        ("materialize", "bars,bad", "--instrument", INSTRUMENT, *DAY),
        ("walk-forward", "bad", "--instrument", INSTRUMENT, *WEEKS),
        ("strategy", "show", "bad"),
        ("strategy", "check", "bad"),
    ],
    ids=" ".join,
)
def test_commands_that_name_it_fail_with_what_is_wrong_in_it(
    bad: Path, vostok, command: tuple[str, ...]
) -> None:
    result = vostok(*command)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"Error: {bad}: model.trainweeks is not a setting")
    assert result.stderr.count("\n") == 1


def test_demo_says_what_is_wrong_with_its_own_file_before_it_removes_anything(
    folder: Path, vostok
) -> None:
    path = folder / "strategies" / "demo_flow.toml"
    path.write_text("description = 3\n")
    result = vostok("demo")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {path}: ")
    assert result.stderr.count("\n") == 1
    assert not (folder / "data_lake").exists()


def test_list_and_doctor_tell_each_bad_file(folder: Path, bad: Path, vostok) -> None:
    other = folder / "strategies" / "other.toml"
    other.write_text("instruments = [")
    listed = vostok("strategy", "list")
    assert listed.exit_code == 2
    assert "flow" in listed.stdout
    told = listed.stderr.splitlines()
    assert [line.split(": ")[1] for line in told] == [str(bad), str(other)]
    examined = vostok("doctor")
    assert examined.exit_code == 1
    assert f"{bad}: model.trainweeks is not a setting" in examined.stdout
    assert "(and 1 more)" in examined.stdout
    warned = vostok("materialize", "ticks", "--instrument", INSTRUMENT, *DAY).stderr
    assert warned.startswith(f"Warning: {bad}, {other} can't be used, and their strategies are")


def test_dagster_loads_the_sound_strategies_and_logs_what_is_wrong(folder: Path, bad: Path) -> None:
    code = (
        "from vostok_pipelines.definitions import defs\n"
        "graph = defs().resolve_asset_graph()\n"
        "print(*{key.path[0] for key in graph.get_all_asset_keys()})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "flow" in done.stdout.split()
    assert "bad" not in done.stdout.split()
    [line] = [line for line in done.stderr.splitlines() if str(bad) in line]
    assert "the strategy bad is left out, its data are kept as the file says" in line
    assert "model.trainweeks is not a setting" in line
