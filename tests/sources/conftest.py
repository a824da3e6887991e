"""Instruments, and the same text as CSV, zip or gzip."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
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
def instrument() -> Callable[..., Instrument]:
    """instrument("kraken.spot.BTC-USD", "trade"): one of that name and tick."""
    return lambda name, tick="trade": _instrument(name, tick)


def _zipped(data: bytes, name: str = "source.csv") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


def _zstandard(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "csv": lambda data: data,
    "zip": _zipped,
    "csv.gz": gzip.compress,
    "csv.zst": _zstandard,
    "csv.bz2": bz2.compress,
    "csv.xz": lzma.compress,
    "zip of gz": lambda data: _zipped(gzip.compress(data), "source.csv.gz"),
    "gz of gz": lambda data: gzip.compress(gzip.compress(data)),
}


@pytest.fixture(scope="session")
def packed() -> Callable[..., bytes]:
    """packed(text, "csv" | "zip" | "csv.gz" …): the bytes of such a file."""

    def pack(text: str | bytes, packing: str = "csv") -> bytes:
        return PACKINGS[packing](text.encode() if isinstance(text, str) else text)

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
