"""Every example of the help texts and the README parses, and runs where that is cheap."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
import typer

from vostok.cli.app import app
from vostok_core.lake.store import Lake

ROOT = Path(__file__).resolve().parents[2]
DEAR = {"demo", "ui"}  # minutes, and until Ctrl-C
AWAY = {"fetch"}  # asks a server that a test has nothing to do with, unless it is a dry run
KRAKEN = "".join(
    f"{1_525_651_200 + 60 * i}.{i:04},11.{i % 7:02},{1 + i % 3},{'bs'[i % 2]},m,\n"
    for i in range(1440)
)


def leaves(command, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every command that has none below it."""
    below = getattr(command, "commands", None)
    if below is None:
        yield words, command
        return
    for name, each in below.items():
        yield from leaves(each, (*words, name))


LEAVES = dict(leaves(typer.main.get_command(app)))


def examples(text: str) -> list[list[str]]:
    """The words of the examples of a help text, without what a shell or a reader takes."""
    joined = re.sub(r"\\\n\s+", "", text)
    lines = [line.strip() for line in joined.splitlines() if line.startswith("    vostok ")]
    return [shlex.split(re.split(r" > |  +", line)[0])[1:] for line in lines]


def all_examples() -> list[list[str]]:
    texts = [typer.main.get_command(app).help, *(command.help for command in LEAVES.values())]
    indented = ["\n".join(f"  {line}" for line in (text or "").splitlines()) for text in texts]
    return [words for text in indented for words in examples(text)]


def leaf_of(words: list[str]) -> tuple[object, list[str]]:
    """The command that some words call, and its arguments."""
    length = next(n for n in (1, 2) if tuple(words[:n]) in LEAVES)
    return LEAVES[tuple(words[:length])], words[length:]


def test_every_visible_command_has_an_example_of_its_own() -> None:
    shown = {tuple(words[: len(name)]) for words in all_examples() for name in LEAVES}
    assert {name for name, command in LEAVES.items() if not command.hidden} <= shown


@pytest.mark.parametrize("words", all_examples(), ids=" ".join)
def test_example_parses(words: list[str]) -> None:
    command, arguments = leaf_of(words)
    context = command.make_context("vostok", list(arguments))
    assert context.args == []


def test_commands_of_the_readme_parse_and_its_links_and_targets_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"\.venv/bin/vostok (.+)", re.sub(r"\\\n\s+", "", text).replace("`", "\n"))
    commands = [shlex.split(line, comments=True) for line in shown]
    assert {words[0] for words in commands} >= {"fetch", "walk-forward", "sql", "check"}
    for words in commands:
        if words != ["COMMAND", "--help"]:
            command, arguments = leaf_of(words)
            assert command.make_context("vostok", arguments).args == []
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (ROOT / link).exists(), link
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?m)^make ([a-z-]+)|`make ([a-z-]+)", text):
        assert f"\n{''.join(target)}:" in makefile, target


@pytest.fixture
def shipped(folder: Path, agg_trades: Callable[..., str], monkeypatch) -> Path:
    """The project as it is shipped, an empty lake, and the files that the examples name."""
    shutil.copy(ROOT / "vostok.toml", folder)
    (folder / "strategies" / "flow.toml").unlink()
    for path in (ROOT / "strategies").glob("*.toml"):
        shutil.copy(path, folder / "strategies")
    shutil.copy(ROOT / "strategies" / "demo_flow.toml", folder / "strategies" / "mine.toml")
    Lake.open(folder / "data_lake")
    monkeypatch.setenv("HOME", str(folder))
    (folder / "archive").mkdir()
    (folder / "archive" / "day.csv").write_text(agg_trades())
    with zipfile.ZipFile(folder / "BTCUSDT-aggTrades-2025-01.zip", "w") as month:
        month.writestr("month.csv", agg_trades(366))  # days are counted from 2024-01-01
    for name in ("EOSUSD.csv", "mended.csv"):
        (folder / name).write_text(KRAKEN)
    lines = [
        f"{1_525_651_200 + 60 * k};11,{k % 7}5;0,5;{'bid' if k % 2 else 'ask'}" for k in range(1440)
    ]
    (folder / "export.csv").write_text("\n".join(["date;price;amount;type", *lines]))
    opens = range(1_736_121_600_000, 1_736_208_000_000, 60_000)
    (folder / "BTCUSDT-1m-2025-01-06.zip").write_bytes(
        packed("".join(f"{ts},10,12,9,11,5,{ts + 59_999},55,3,2,22,0\n" for ts in opens))
    )
    minutes = pl.int_range(1440, eager=True) * 60_000
    for year, start in ((2017, 1_483_228_800_000), (2018, 1_514_764_800_000)):
        pl.DataFrame({"ts_ms": minutes + start}).with_columns(
            open=1.0, high=1.0, low=1.0, close=1.0, volume=1.0
        ).write_parquet(folder / f"{year}.parquet")
    return folder


def packed(text: str) -> bytes:
    """A zip of one CSV."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("day.csv", text)
    return buffer.getvalue()


def cheap() -> Iterator[object]:
    """The examples whose words are meant as they stand; those that launch runs take seconds."""
    for words in all_examples():
        if words[0] in AWAY and "--dry-run" not in words:
            continue
        if words[0] not in DEAR and {"DIR", "STRATEGY"}.isdisjoint(words):
            marks = [pytest.mark.long] if words[0] == "ingest" else []
            yield pytest.param(words, id=" ".join(words), marks=marks)


@pytest.mark.parametrize("words", list(cheap()))
def test_example_runs(shipped: Path, vostok, words: list[str]) -> None:
    """To its end, or to where it asks for what an empty lake doesn't have."""
    result = vostok(*[word.replace("~", str(shipped)) for word in words])
    if words[0] in ("materialize", "walk-forward"):
        assert result.exit_code == 1, result.output
        assert re.search(r"has (never )?landed|no partition|no bars", result.stderr), result.stderr
    elif words[0] == "model" and words[1] != "list":
        assert result.exit_code == 3, result.output
        assert re.search(r"has put no model|no model .* is in service", result.stderr)
    else:
        assert result.exit_code == 0, result.output
        assert "Error" not in result.stderr
