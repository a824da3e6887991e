"""`vostok fetch --source rest` and `vostok repair`, from the command line to `quality`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from tests.cli.conftest import ROOT
from tests.rest.exchanges import numbered
from vostok.cli.app import app
from vostok_core.lake.store import Lake
from vostok_core.times import DAY, HOUR, day_start

FIRST, LAST = date(2025, 3, 29), date(2025, 3, 30)
NAME = "demo.spot.ABC-USDT"
START = day_start(FIRST)
TRADES = numbered(5_000, START - HOUR, START + 2 * DAY + HOUR)


@pytest.fixture
def vostok(
    binance: Any, project_at: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Result]]:
    """The command line, in a project whose venue is an exchange that runs here."""
    with binance(TRADES) as (exchange, url):
        project_at(demo=url)
        (tmp_path / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
        monkeypatch.chdir(tmp_path)

        def call(*arguments: object) -> Result:
            call.exchange = exchange  # type: ignore[attr-defined]
            return CliRunner().invoke(app, [str(each) for each in arguments])

        call.exchange = exchange  # type: ignore[attr-defined]
        yield call


def csv(path: Path, trades: Any) -> Path:
    lines = [
        f"{t.id},{t.price:.4f},{t.qty:.8f},{t.first_id},{t.last_id},{t.ts},{t.buyer_maker},True"
        for t in trades
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_days_are_fetched_by_rest_landed_and_made(tmp_path: Path, vostok: Any) -> None:
    fetch = ("fetch", NAME, "--from", FIRST, "--to", LAST, "--source", "rest")
    result = vostok(*fetch, "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert "2 of 2 days are missing" in result.stdout
    assert not vostok.exchange.asked
    result = vostok(*fetch)
    assert result.exit_code == 0, result.stderr
    assert "materialized 2025-03-29 to 2025-03-30" in result.stdout
    lake = Lake.open(tmp_path / "lake", create=False)
    for day in (FIRST, LAST):
        start = day_start(day)
        wanted = [row.id for row in TRADES if start <= row.ts < start + DAY]
        assert lake.read("ticks", instrument=NAME, date=day)["trade_id"].to_list() == wanted
        (part,) = lake.parts("raw_trades", instrument=NAME, date=day)
        assert part.inputs["fetched"] == "rest binance"
    asked = len(vostok.exchange.asked)
    result = vostok(*fetch, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)[0]["missing"] == []
    assert len(vostok.exchange.asked) == asked


def test_broken_spans_are_repaired_and_what_was_done_is_told(tmp_path: Path, vostok: Any) -> None:
    inside = [row for row in TRADES if START <= row.ts < START + 2 * DAY]
    lost = range(inside[1_000].id, inside[1_040].id)
    file = csv(tmp_path / "abc.csv", [row for row in inside if row.id not in lost])
    ingest = ("ingest", file, "--instrument", NAME, "--format", "binance-aggtrades")
    assert vostok(*ingest).exit_code == 0
    result = vostok("repair", "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert f"would ask binance: ids {lost[0] - 1} to {lost[-1] + 1}" in result.stdout
    assert not vostok.exchange.asked
    result = vostok("repair", NAME, "--from", FIRST, "--to", LAST, "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    gap = next(row for row in told["findings"] if row["kind"] == "gap")
    assert gap["trades"] == 40
    assert gap["repaired"].startswith("40 trades of rest binance (part ")
    assert gap["why"] is None
    lake = Lake.open(tmp_path / "lake", create=False)
    quality = lake.read("quality", instrument=NAME, date=FIRST)
    assert quality.filter("invalidates").is_empty()
    assert quality.filter(pl.col("kind") == "gap")["repaired"].to_list() == [gap["repaired"]]
    bars = lake.read("bars", instrument=NAME, interval="1m", date=FIRST)
    assert bars["valid"].all()
    result = vostok("repair", NAME)
    assert (result.exit_code, result.stdout) == (0, "nothing is broken\n")
    rows = vostok("sql", "SELECT repaired FROM quality WHERE repaired IS NOT NULL")
    assert gap["repaired"] in rows.stdout


def test_an_exchange_that_does_not_answer_fails_the_command_and_changes_nothing(
    tmp_path: Path, vostok: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = [row for row in TRADES if START <= row.ts < START + DAY]
    file = csv(tmp_path / "abc.csv", inside[:500] + inside[520:])
    vostok("ingest", file, "--instrument", NAME, "--format", "binance-aggtrades")
    vostok.exchange.fault = lambda _: "451"
    before = {path: path.read_bytes() for path in (tmp_path / "lake").rglob("*.parquet")}
    result = vostok("repair", NAME)
    assert result.exit_code == 1
    assert "the exchange refuses" in result.stderr
    assert {path: path.read_bytes() for path in (tmp_path / "lake").rglob("*.parquet")} == before


def test_instruments_that_can_t_be_fetched_are_named(vostok: Any, tmp_path: Path) -> None:
    assert vostok("repair", "nobody").exit_code == 2
    Lake.open(tmp_path / "lake")
    text = (tmp_path / "vostok.toml").read_text()
    (tmp_path / "vostok.toml").write_text(text.replace('demo = "binance"', 'demo = "bybit"'))
    result = vostok("repair", NAME)
    assert result.exit_code == 2
    assert "shows nothing but its newest trades" in result.stderr
    result = vostok("repair")
    assert result.exit_code == 0
    assert f"{NAME} is left out" in result.stderr
