"""Every command that our errors and hints print can be carried out as it is printed.

What they print is read from the source: texts with a command in backticks. Names that the program
fills in, and words in capitals that a person fills in, stand for something that can be meant.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import typer

from vostok.cli.app import app as vostok_app
from vostok_core.lake.mending import how_to_make
from vostok_core.lake.tables import TABLES
from vostok_core.project import find_project
from vostok_exchange.cli import app as exchange_app
from vostok_live.cli import app as live_app
from vostok_live.service.announce import command as live_command
from vostok_pipelines.launch import Launcher

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {
    "vostok": typer.main.get_command(vostok_app),
    "vostok-live": typer.main.get_command(live_app),
    "vostok-exchange": typer.main.get_command(exchange_app),
}
PACKAGES = ("vostok", "vostok_core", "vostok_pipelines", "vostok_live", "vostok_exchange")
FILLED_IN = {"FORMAT": "csv"}
PROSE = {"description", "help", "epilog"}
"""Arguments of which commands are named, and not printed to be carried out."""
MENTIONED = {
    "vostok ingest --replace",  # a finding of the table `quality`, which says what an option does
    "vostok-live {verb} {state.parent.name} --instrument {state.name}",  # tested by itself
}


def texts(tree: ast.AST) -> Iterator[str]:
    """The texts of a module but its documentation; `{…}` where a value is filled in."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            skipped.add(node.value)
        elif isinstance(node, ast.keyword) and node.arg in PROSE:
            skipped.update(ast.walk(node.value))
        elif isinstance(node, ast.JoinedStr):
            skipped.update(each for each in ast.walk(node) if each is not node)
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                part.value if isinstance(part, ast.Constant) else f"{{{ast.unparse(part.value)}}}"
                for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def printed() -> Iterator[tuple[str, str]]:
    """Every command in backticks, with the file it stands in."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if path.stem in ("document", "reference"):  # pages of docs/
                continue
            for text in texts(ast.parse(path.read_text(encoding="utf-8"))):
                assert text.count("`") % 2 == 0, f"{path}: a command in parts: {text!r}"
                for command in re.findall(
                    r"`((?:vostok|vostok-live|vostok-exchange) [^`]+)`", text
                ):
                    if command not in MENTIONED and "COMMAND" not in command:
                        yield command, str(path.relative_to(ROOT))


def parsed(command: str) -> dict[str, object]:
    """What a command's parser makes of it; raises where it makes nothing."""
    filled = re.sub(r"\{[^{}]*\}", "x", command)
    program, *words = (FILLED_IN.get(word, word) for word in shlex.split(filled))
    found = PROGRAMS[program]
    while hasattr(found, "commands"):
        if found.name == "record" and not (words and words[0] in found.commands):
            words.insert(0, "start")  # what is no command of it is an instrument
        found = found.commands[words.pop(0)]
    if "--help" in words:
        return {}
    context = found.make_context(command, words)
    assert context.args == []
    if found.name == "ingest" and context.params["paths"]:
        assert context.params["source"], f"the files' format is asked for: {command}"
    return context.params


COMMANDS = sorted(set(printed()))


def test_there_are_commands_to_try() -> None:
    words = {tuple(command.split()[:2]) for command, _ in COMMANDS}
    assert {("vostok", "materialize"), ("vostok", "walk-forward"), ("vostok-live", "ship")} <= words
    assert len(COMMANDS) > 40


@pytest.mark.parametrize(("command", "_file"), COMMANDS, ids=": ".join)
def test_printed_command_parses(command: str, _file: str) -> None:
    parsed(command)


@pytest.mark.parametrize("verb", ["run", "reset", "resume", "status"])
def test_command_to_a_daemon_is_made_of_its_state_folder(verb: str) -> None:
    command = live_command(verb, Path("/lake/live/flow/demo.spot.EDGE-USDT"))
    assert command == f"`vostok-live {verb} flow --instrument demo.spot.EDGE-USDT`"
    parsed(command.strip("`"))


@pytest.fixture(scope="module")
def launcher() -> Launcher:
    recorded = {"VOSTOK_RECORDER__INSTRUMENTS": '["demo.spot.EDGE-USDT"]'}
    return Launcher(find_project(ROOT, recorded))


@pytest.mark.parametrize("name", sorted(TABLES))
def test_missing_partition_of_every_table_names_assets_that_are_there(
    launcher: Launcher, name: str
) -> None:
    known = {
        "strategy": "demo_flow",
        "instrument": "demo.spot.EDGE-USDT",
        "interval": "1m",
        "pack": "core",
        "date": date(2025, 1, 6),
        "week": date(2025, 1, 6),
    }
    keys = {key: known[key] for key in TABLES[name].keys if key in known}
    commands = re.findall("`([^`]+)`", how_to_make(name, keys))
    for command in commands:
        parameters = parsed(command)
        for asset in str(parameters.get("assets") or "").split(","):
            assert not asset or launcher.resolve(asset)
    assert commands
    if "strategy" in keys:
        assert str(parameters.get("assets", "demo_flow/")).startswith("demo_flow/")
        assert parameters.get("strategy", "demo_flow") == "demo_flow"
