"""A project of its own for every test of the command line, and a way to call it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vostok.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
START = 1_704_067_200_000  # 2024-01-01 00:00 UTC, in milliseconds

SETTINGS = """
[instruments."binance.spot.BTC-USDT"]
tick = "agg_trade"
price_tick = "0.01"
quantity_step = "0.00001"

[instruments."kraken.spot.BTC-USDT"]
tick = "trade"
price_tick = "0.1"
quantity_step = "0.00000001"

[instruments."bitfinex.spot.ETH-USD"]
tick = "none"
price_tick = "0.1"
quantity_step = "0.00000001"
"""

STRATEGY = """
description = "Flow on bitcoin."
instruments = ["binance.spot.BTC-USDT"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project, which is the working directory; the caller's own settings don't reach it."""
    for name in [name for name in os.environ if name.startswith("VOSTOK_")]:
        monkeypatch.delenv(name)
    root = tmp_path / "project"
    (root / "strategies").mkdir(parents=True)
    (root / "vostok.toml").write_text(SETTINGS)
    (root / "strategies" / "flow.toml").write_text(STRATEGY)
    (root / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def vostok(folder: Path) -> Callable[..., Result]:
    """Call the command line in this process."""
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def process(folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call the command line as a process of its own."""

    def call(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "vostok", *map(str, arguments)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call


@pytest.fixture
def agg_trades() -> Callable[..., str]:
    """Makes the text of a day of aggregate trades in Binance's layout, counted from 2024-01-01."""
    return _agg_trades


def _agg_trades(day: int = 0, rows: int = 600) -> str:
    """A price that climbs and falls."""
    lines = []
    for i in range(rows):
        number = day * rows + i + 1
        ts = START + day * 86_400_000 + i * (86_400_000 // rows)
        price = f"{100 + abs(i % 40 - 20) / 100:.2f}"
        lines.append(f"{number},{price},0.5,{number},{number},{ts},{i % 3 == 0},True")
    return "\n".join(lines) + "\n"
