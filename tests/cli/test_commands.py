"""Exit codes, error messages, help, and where the lake is."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from vostok import __version__
from vostok.cli.app import app
from vostok.cli.command import command
from vostok.cli.data import source_files, spoken_days
from vostok.cli.runs import print_decision
from vostok.context import Context
from vostok_core.errors import DataError, Refused, UsageError
from vostok_core.features import registry
from vostok_core.features.registry import Feature, Kernel, Pack, step_kernel
from vostok_core.lake.store import FORMAT_VERSION, Lake

COMMANDS = (
    ("demo",),
    ("ingest",),
    ("sql",),
    ("materialize",),
    ("walk-forward",),
    ("ui",),
    ("doctor",),
    ("strategy", "list"),
    ("strategy", "show"),
    ("strategy", "check"),
    ("model", "list"),
    ("model", "serve"),
    ("model", "withdraw"),
    ("check", "leaks"),
)
INGEST = ("--instrument", "binance.spot.BTC-USDT", "--format", "binance-aggtrades")


def raising(error: BaseException) -> typer.Typer:
    """An application whose commands raise."""
    made = typer.Typer()

    def fail(_context: Context) -> None:
        raise error

    command(made, "fail")(fail)
    command(made, "other")(lambda _context: None)
    return made


def one_paragraph(text: str) -> bool:
    return text.endswith("\n") and "\n" not in text[:-1] and "Traceback" not in text


def test_version_is_printed(vostok) -> None:
    result = vostok("--version")
    assert result.exit_code == 0
    assert result.stdout == f"vostok {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_help_of_every_command_shows_the_options_that_all_have(vostok, name) -> None:
    result = vostok(*name, "--help")
    assert result.exit_code == 0
    assert "--lake DIR" in result.stdout
    assert "--debug" in result.stdout


def test_help_lists_every_command_and_the_exit_codes(vostok) -> None:
    text = vostok("--help").stdout
    for name in COMMANDS:
        assert f"\n  {name[0]} " in text
    for code in ("0 done", "1 failed", "2 wrong usage", "3 refused"):
        assert code in text.replace("\n  ", " ")


def test_no_argument_shows_help_as_wrong_usage(vostok) -> None:
    result = vostok()
    assert result.exit_code == 2
    assert "Start here" in result.output


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("nonsense",), "nonsense"),
        (("sql",), "QUERY"),
        (("sql", "SELECT 1", "--format", "xml"), "xml"),
        (("ingest", "file.csv", "--format", "csv"), "--instrument"),
        (("ingest", "file.csv", "--instrument", "x", "--format", "excel"), "excel"),
        (("materialize", "bars", "--instrument", "x", "--from", "2025-01-01"), "--to"),
        (("demo", "--seed", "many"), "--seed"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_it_on_stderr(vostok, arguments, word) -> None:
    result = vostok(*arguments)
    assert result.exit_code == 2
    assert word in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("error", "code", "start"),
    [
        (DataError("it broke", where="a.csv", hint="mend it"), 1, "Error: a.csv: it broke."),
        (UsageError("no such thing", hint="name another"), 2, "Error: no such thing."),
        (Refused("not good enough", hint="gather evidence"), 3, "Refused: not good enough."),
        (ZeroDivisionError("division\nby zero"), 1, "Error: a defect of Vostok"),
    ],
)
def test_errors_become_one_paragraph_with_a_hint_and_their_exit_code(error, code, start) -> None:
    result = CliRunner().invoke(raising(error), ["fail"])
    assert result.exit_code == code
    assert result.stdout == ""
    assert one_paragraph(result.stderr)
    assert result.stderr.startswith(start)
    assert "Hint: " in result.stderr


@pytest.mark.parametrize("arguments", [("--debug", "sql"), ("sql", "--debug")], ids=str)
def test_debug_adds_the_traceback_before_or_after_the_command(vostok, arguments) -> None:
    result = vostok(*arguments, "SELECT 1", "--lake", "nowhere")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert "UsageError" in result.stderr


def test_interruption_exits_with_130_and_no_traceback() -> None:
    code = (
        "import time, typer\n"
        "from vostok.cli.command import command\n"
        "app = typer.Typer()\n"
        "def wait(_context):\n"
        "    print('begun', flush=True)\n"
        "    time.sleep(60)\n"
        "command(app, 'wait')(wait)\n"
        "command(app, 'other')(wait)\n"
        "app(['wait'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr == "Interrupted.\n"


def test_lake_is_taken_before_or_after_the_command_from_the_environment_or_the_settings(
    folder: Path, vostok, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lake_of(*arguments: str) -> str:
        found = {f["name"]: f["detail"] for f in json.loads(vostok(*arguments, "--json").stdout)}
        return found["lake"].split(" ")[0]

    assert lake_of("doctor") == str(folder / "data_lake")
    monkeypatch.setenv("VOSTOK_LAKE__ROOT", "other")
    assert lake_of("doctor") == str(folder / "other")
    monkeypatch.setenv("VOSTOK_LAKE", str(folder / "named"))
    assert lake_of("doctor") == str(folder / "named")
    assert lake_of("--lake", "before", "doctor") == str(folder / "before")
    assert lake_of("doctor", "--lake", "after") == str(folder / "after")
    assert lake_of("--lake", "before", "doctor", "--lake", "after") == str(folder / "after")


def test_project_is_the_nearest_folder_upward(folder: Path) -> None:
    below = folder / "a" / "b"
    below.mkdir(parents=True)
    assert Context(start=below, environ={}).project.root == folder


def test_no_project_is_wrong_usage_that_says_where_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["strategy", "list"])
    assert result.exit_code == 2
    assert one_paragraph(result.stderr)
    assert str(tmp_path) in result.stderr


def test_misspelt_setting_names_file_and_key(folder: Path, vostok) -> None:
    with (folder / "vostok.toml").open("a") as file:
        file.write("\n[gates.standard]\nconfidance = 0.9\n")
    result = vostok("sql", "SELECT 1")
    assert result.exit_code == 2
    assert one_paragraph(result.stderr)
    assert str(folder / "vostok.toml") in result.stderr
    assert "gates.standard.confidance" in result.stderr


def test_lake_of_a_newer_version_is_refused_and_left_alone(folder: Path, vostok) -> None:
    marker = folder / "data_lake" / "vostok-lake.json"
    Lake.open(folder / "data_lake")
    marker.write_text(json.dumps({"format": FORMAT_VERSION + 1}))
    before = sorted(folder.rglob("*"))
    for arguments in (
        ("sql", "SELECT 1"),
        ("ingest", folder / "vostok.toml", *INGEST),
        ("materialize", "bars", "--instrument", "ETH/USD", "--from", "2025-01-01", "--to",
         "2025-01-02"),
    ):  # fmt: skip
        result = vostok(*arguments)
        assert result.exit_code == 1, arguments
        assert one_paragraph(result.stderr)
        assert "update Vostok" in result.stderr
    assert sorted(folder.rglob("*")) == before


def test_question_to_a_lake_that_is_not_there_makes_none(folder: Path, vostok) -> None:
    result = vostok("sql", "SELECT 1")
    assert result.exit_code == 2
    assert not (folder / "data_lake").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ingest", "absent.csv", *INGEST), "absent.csv doesn't exist"),
        (
            ("ingest", "vostok.toml", "--instrument", "BTC/USDT", "--format", "csv"),
            "names 2 instruments",
        ),
        (
            ("ingest", "vostok.toml", "--instrument", "binance.spot.BTC-USD", "--format", "csv"),
            "did you mean binance.spot.BTC-USDT",
        ),
        (("ingest", "vostok.toml", *INGEST, "--columns", "ts"), "'ts' in the map of columns"),
        (
            ("materialize", "bars", "--instrument", "ETH/USD", "--from", "2025-02-30", "--to",
             "2025-03-01"),
            "'2025-02-30' is not a day",
        ),
        (
            ("materialize", "bars", "--instrument", "ETH/USD", "--from", "2025-02-02", "--to",
             "2025-02-01"),
            "lies before",
        ),
        (
            ("walk-forward", "flow", "--instrument", "ETH/USD", "--from", "2025-01-07", "--to",
             "2025-01-13"),
            "write 2025-01-06",
        ),
        (
            ("materialize", "flow/model", "--instrument", "binance.spot.BTC-USDT", "--from",
             "2025-01-06", "--to", "2025-01-14"),
            "write 2025-01-13 for the week that holds it",
        ),
        (
            ("materialize", "flow/labels,flow/model", "--instrument", "binance.spot.BTC-USDT",
             "--from", "2025-01-06", "--to", "2025-01-13"),
            "not partitioned alike",
        ),
        (
            ("walk-forward", "flaw", "--instrument", "ETH/USD", "--from", "2025-01-06", "--to",
             "2025-01-13"),
            "did you mean flow",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_told_and_writes_nothing(
    folder: Path, vostok, arguments, message
) -> None:
    result = vostok(*arguments)
    assert result.exit_code == 2
    assert one_paragraph(result.stderr)
    assert message in result.stderr
    assert not (folder / "data_lake").exists()


def test_strategies_are_listed_shown_and_checked(folder: Path, vostok) -> None:
    (listed,) = json.loads(vostok("strategy", "list", "--json").stdout)
    assert listed["name"] == "flow"
    shown = json.loads(vostok("strategy", "show", "flow", "--json").stdout)
    assert shown == listed
    assert shown["model"]["train_weeks"] == 8
    assert "model.train_weeks" in vostok("strategy", "show", "flow").stdout
    assert vostok("strategy", "check").stdout == "flow: ok\n"


HEAD = 'description = "x"\ninstruments = ["binance.spot.BTC-USDT"]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("instruments = [", "not valid TOML"),
        ('description = "x"\n', "instruments is missing"),
        (HEAD.replace("USDT", "USD"), "did you mean"),
        (f'{HEAD}[labels]\nhorizon = "a while"\n', "is not a duration"),
        (f'{HEAD}[features]\npacks = ["cores"]\n', "did you mean core"),
        (f'{HEAD}[features]\nexclude = ["rsi_15"]\n', "rsi_14"),
        (f'{HEAD}[gate]\nprofile = "strict"\n', "no gate profile is called 'strict'"),
    ],
)
def test_bad_strategy_file_is_named_with_what_to_write_instead(
    folder: Path, vostok, text, message
) -> None:
    path = folder / "strategies" / "bad.toml"
    path.write_text(text)
    result = vostok("strategy", "check")
    assert result.exit_code == 2
    assert result.stdout == "flow: ok\n"
    assert one_paragraph(result.stderr)
    assert str(path) in result.stderr
    assert message in result.stderr
    listed = vostok("strategy", "list")
    assert (listed.exit_code, "flow" in listed.stdout) == (2, True)
    assert message in listed.stderr
    assert vostok("strategy", "check", "flow").exit_code == 0
    assert vostok("strategy", "check", path).exit_code == 2


def test_features_pass_the_leak_check(vostok) -> None:
    result = vostok("check", "leaks", "--rows", "80", "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert {"core", "sentiment"} <= {row["pack"] for row in report["examined"]}
    assert report["findings"] == []


@step_kernel
def _fickle(bar, params, state, out):
    out[0] = np.random.random()  # noqa: NPY002  (numba's own generator: other bits every run)


def test_feature_that_depends_on_more_than_its_bars_is_refused_with_3(
    vostok, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(_fickle, (Feature("fickle", "", "", ""),), (), 1, 0)
    pack = Pack("planted", "1", "gives other values every time", "bars", (kernel,))
    monkeypatch.setitem(registry._PACKS.items, "planted", pack)
    result = vostok("check", "leaks", "planted", "--rows", "40")
    assert result.exit_code == 3
    assert "fickle: repeat" in result.stdout
    assert result.stderr.startswith("Refused: ")
    assert one_paragraph(result.stderr)


@step_kernel
def _late(bar, params, state, out):
    state[0] += 1.0
    out[0] = np.random.random() if state[0] > 1440.0 else 0.0  # noqa: NPY002


def test_memory_longer_than_a_day_is_filled_before_a_feature_passes(
    vostok, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(_late, (Feature("late", "", "", ""),), (), 1, 1440)
    pack = Pack("planted", "1", "errs once its ring is full", "bars", (kernel,))
    monkeypatch.setitem(registry._PACKS.items, "planted", pack)
    assert vostok("check", "leaks", "planted", "--rows", "1440").exit_code == 0
    result = vostok("check", "leaks", "planted", "--json")
    assert result.exit_code == 3
    (examined,) = json.loads(result.stdout)["examined"]
    assert examined["rows"] == 1440 + 600
    assert vostok("check", "leaks").exit_code == 3


def test_refused_decision_is_printed_rule_by_rule_and_exits_with_3(capsys) -> None:
    rows = pl.DataFrame(
        {
            "rule": ["trades", "days"],
            "value": [3.0, 40.0],
            "bound": [30.0, 28.0],
            "comparison": [">=", ">="],
            "verdict": ["fail", "pass"],
            "reason": ["3 closed positions, 30 are asked for", "long enough"],
            "decision": ["refused", "refused"],
            "profile": ["standard"] * 2,
            "profile_hash": ["ab" * 32] * 2,
            "configuration": ["c"] * 2,
            "trials": [1, 1],
        }
    )
    assert print_decision(rows, "flow on X") == 3
    text = capsys.readouterr().out
    assert "refused" in text
    assert re.search(r"trades +3 +>= 30 +fail +3 closed positions", text)
    promoted = rows.with_columns(decision=pl.lit("promoted"))
    assert print_decision(promoted, "flow on X") is None


def test_folder_stands_for_the_data_files_below_it(tmp_path: Path) -> None:
    for name in ("b/2.zip", "a.csv", "2.zip.CHECKSUM", "b/.3.csv", "notes.md", "c/1.CSV.GZ"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [str(path.relative_to(tmp_path)) for path in source_files(tmp_path)]
    assert found == ["a.csv", "b/2.zip", "c/1.CSV.GZ"]
    assert source_files(tmp_path / "notes.md") == [tmp_path / "notes.md"]
    (tmp_path / "empty").mkdir()
    for wrong in ("empty", "absent"):
        with pytest.raises(UsageError, match=wrong):
            source_files(tmp_path / wrong)


def test_days_are_spoken() -> None:
    assert spoken_days([]) == "no rows"
    assert spoken_days([date(2025, 1, 2)]) == "1 day, 2025-01-02 to 2025-01-02"
    assert spoken_days([date(2025, 1, 3), date(2025, 1, 1)]) == "2 days, 2025-01-01 to 2025-01-03"


def test_help_starts_without_the_heavy_libraries() -> None:
    """Start-up stays quick because nothing heavy is imported: a clock would only be flaky."""
    code = (
        "import sys\n"
        "sys.argv = ['vostok', '--help']\n"
        "from vostok.__main__ import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    heavy = {'dagster', 'lightgbm', 'sklearn', 'scipy', 'pandas', 'polars', 'numba',\n"
        "             'numpy', 'duckdb', 'matplotlib', 'plotly', 'pydantic'}\n"
        "    print('loaded', sorted(heavy & set(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert result.stdout.splitlines()[-1] == "loaded []"


def test_closed_pipe_is_no_defect(folder: Path) -> None:
    arguments = [sys.executable, "-m", "vostok", "strategy", "list"]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with subprocess.Popen(
        arguments, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        stderr = process.stderr.read()
    assert b"defect" not in stderr
    assert b"Traceback" not in stderr
