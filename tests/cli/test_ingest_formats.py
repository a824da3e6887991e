"""Files in many notations, by one command."""

from __future__ import annotations

import gzip
import re
import shlex
from pathlib import Path
from typing import get_args

import pytest
import typer

from vostok.cli.app import app
from vostok.cli.data import Source, notation_of, source_files
from vostok_core.errors import UsageError
from vostok_core.lake.store import Lake
from vostok_pipelines.sources.common import PLAIN, Notation
from vostok_pipelines.sources.formats import FORMATS, OF_OTHER_TABLES

ROOT = Path(__file__).resolve().parents[2]
INSTRUMENT = "binance.spot.BTC-USDT"
START = 1_704_067_200  # 2024-01-01 00:00 UTC
MAP = ("--format", "csv", "--columns", "ts=Datum,price=Kurs,qty=Menge,side=Art,id=Nr")


def test_the_command_knows_every_format_that_is_read() -> None:
    assert set(get_args(Source)) == {*FORMATS, *OF_OTHER_TABLES}


def test_commands_of_the_docs_parse() -> None:
    text = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    joined = re.sub(r"\\\n\s+", "", text)
    commands = [shlex.split(line) for line in re.findall(r"(?m)^    vostok (ingest .+)$", joined)]
    assert len(commands) >= 7
    ingest = typer.main.get_command(app).commands["ingest"]
    for words in commands:
        if "PATH…" not in words:
            assert ingest.make_context("vostok", words[1:]).args == [], words


@pytest.mark.long
def test_a_table_of_another_country_becomes_bars(folder: Path, vostok) -> None:
    """Tabs, decimal commas, an encoding, a line before the header, words for sides; and gzip."""
    lines = ["Börse: irgendeine", "Nr\tDatum\tKurs\tMenge\tArt"]
    for k in range(600):
        side = "Käufe" if k % 2 else "Verkäufe"
        lines.append(f"{k + 1}\t{START + k * 60}\t{100 + k % 7},25\t0,5\t{side}")
    path = folder / "export.txt"
    path.write_bytes(gzip.compress("\r\n".join(lines).encode("latin-1")))
    how = ("--separator", "tab", "--decimal", ",", "--encoding", "latin-1", "--skip-lines", "1")
    result = vostok(
        "ingest", path, "--instrument", INSTRUMENT, *MAP, *how, "--sides", "Käufe/Verkäufe"
    )
    assert result.exit_code == 0, result.stderr
    assert "landed" in result.stdout
    lake = Lake.open(folder / "data_lake", create=False)
    ticks = lake.read("ticks", instrument=INSTRUMENT, date="2024-01-01")
    assert ticks["price"].to_list() == [100.25 + k % 7 for k in range(600)]
    assert ticks["buyer_maker"].to_list() == [k % 2 == 0 for k in range(600)]
    bars = lake.read("bars", instrument=INSTRUMENT, interval="1m", date="2024-01-01")
    assert bars["volume"].sum() == 300


def test_a_zip_by_name_that_is_a_csv_by_content_is_read(folder: Path, agg_trades, vostok) -> None:
    path = folder / "day.zip"
    path.write_text(agg_trades(0))
    arguments = ("--instrument", INSTRUMENT, "--format", "binance-aggtrades", "--land-only")
    result = vostok("ingest", path, *arguments)
    assert result.exit_code == 0, result.stderr
    assert "600 trades" in result.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--separator", ";;"), "can't stand between fields"),
        (("--decimal", ","), "fields and decimals can't both"),
        (("--decimal", "'"), "is no decimal mark"),
        (("--encoding", "klingon"), "no encoding is called 'klingon'"),
        (("--sides", "buy"), "'buy' names one side"),
        (("--skip-lines", "-1"), "no lines before the first"),
        (("--format", "okx-trades"), "are of another exchange than binance.spot.BTC-USDT"),
        (("--format", "kraken-trades"), "declared as agg_trade, and kraken-trades files hold"),
        (("--format", "binance-aggtrades", "--sides", "b/s"), "known how binance-aggtrades files"),
        (("--format", "parquet", "--decimal", ","), "can't both be separated"),
    ],
)
def test_a_notation_that_cannot_be_meant_is_told_before_there_is_a_lake(
    folder: Path, vostok, options: tuple[str, ...], words: str
) -> None:
    (folder / "a.csv").write_text("ts,price,qty,side\n1704067200,1,2,buy\n")
    given = options if "--format" in options else ("--format", "csv", *options)
    result = vostok("ingest", "a.csv", "--instrument", INSTRUMENT, *given)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Hint: " in result.stderr
    assert not (folder / "data_lake").exists()


def test_a_page_among_good_files_is_refused_before_any_lands(
    folder: Path, agg_trades, vostok
) -> None:
    (folder / "in").mkdir()
    (folder / "in" / "1.csv").write_text(agg_trades(0))
    (folder / "in" / "2.csv").write_text("<html><title>403 Forbidden</title></html>")
    arguments = ("--instrument", INSTRUMENT, "--format", "binance-aggtrades", "--land-only")
    result = vostok("ingest", folder / "in", *arguments)
    assert result.exit_code == 1
    assert "this is an HTML or XML page: 403 Forbidden" in result.stderr
    assert not (folder / "data_lake").exists()


def test_what_was_said_of_a_file_becomes_a_notation() -> None:
    assert notation_of(None, None, None, 0, None) == PLAIN
    assert notation_of("tab", ",", "gbk", 2, " bid / ask") == Notation(
        separator="\t", decimal=",", encoding="gbk", skip_lines=2, sides=("bid", "ask")
    )
    with pytest.raises(UsageError, match="names one side"):
        notation_of(None, None, None, 0, "bid")


def test_a_folder_stands_for_files_of_every_packing(tmp_path: Path) -> None:
    names = ["a.csv", "b.csv.zst", "c.csv.bz2", "d.csv.xz", "e.txt.gz", "f.feather", "g.tsv"]
    for name in [*names, "a.csv.CHECKSUM", "readme.md"]:
        (tmp_path / name).touch()
    assert [path.name for path in source_files(tmp_path)] == names
