"""Instruments, and the same text as CSV, zip or gzip."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.times import HOUR


def _instrument(name: str, tick: Any) -> Instrument:
    return Instrument(
        id=InstrumentId.parse(name),
        tick=tick,
        price_tick=Decimal("0.00000001"),
        quantity_step=Decimal(1),
        min_notional=Decimal(0),
        max_silence=HOUR,
    )


@pytest.fixture(scope="session")
def agg() -> Instrument:
    return _instrument("binance.spot.XRP-ETH", "agg_trade")


@pytest.fixture(scope="session")
def single() -> Instrument:
    return _instrument("kraken.spot.EOS-USD", "trade")


@pytest.fixture(scope="session")
def bars_only() -> Instrument:
    return _instrument("bitfinex.spot.BTC-USD", "none")


@pytest.fixture(scope="session")
def packed() -> Callable[[str, str], bytes]:
    """packed(text, "csv" | "zip" | "csv.gz"): the bytes of such a file."""

    def pack(text: str, packing: str = "csv") -> bytes:
        if packing == "csv.gz":
            return gzip.compress(text.encode())
        if packing == "csv":
            return text.encode()
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("source.csv", text)
        return buffer.getvalue()

    return pack


@pytest.fixture
def agg_day(tmp_path: Path) -> Callable[..., Path]:
    """agg_day(day, count): a file of aggregate trades, one a minute from 2025-01-<day> on."""

    def write(day: int, count: int = 5, *, first_id: int = 1, name: str = "agg.csv") -> Path:
        start = 1_735_689_600_000_000 + (day - 1) * 86_400_000_000
        lines = [
            f"{first_id + k},{100 + k}.5,0.25,{first_id + k},{first_id + k},"
            f"{start + k * 60_000_000},{'True' if k % 2 else 'False'},True"
            for k in range(count)
        ]
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n")
        return path

    return write
