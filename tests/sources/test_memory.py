"""How much memory a large file takes: what docs/sources.md promises."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

SIZE = 48 << 20
SLACK = 64 << 20  # what an allocator keeps

CODE = """
import resource, sys
from pathlib import Path
from tests.sources.fuzzing import market
from vostok_pipelines.sources.common import SourceFile
from vostok_pipelines.sources.formats import FORMATS
from vostok_pipelines.sources.reading import read_file
path, format_, instrument = sys.argv[1:]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
kind = FORMATS[format_].holds or "trades"
read = read_file(SourceFile.open(Path(path)), market(instrument, format_), format_, kind)
print(read.frame.height, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""

Line = Callable[[int], str]
LINES: dict[str, tuple[str, str, Line]] = {
    "binance-aggtrades": (
        "binance.spot.BTC-USDT",
        "",
        lambda k: f"{k},{60000 + k % 997}.5,0.01,{k},{k},{1736121600000000 + k},True,True\n",
    ),
    # The shortest lines take the most memory for their size.
    "kraken-trades": (
        "kraken.spot.BTC-USD",
        "",
        lambda k: f"{1525732094 + k // 99}.{k % 99:02d},8{k % 997:03d}.5,0.5,b,l,\n",
    ),
    "kraken-ohlcvt": (
        "kraken.spot.BTC-USD",
        "",
        lambda k: f"{1262304000 + 60 * k},10.5,12.5,9.5,11.5,{k % 997}.5,5\n",
    ),
    "csv": (
        "binance.spot.BTC-USDT",
        "ts,price,qty,side\n",
        lambda k: f"{1736121600000 + k},8{k % 997:03d}.5,0.5,buy\n",
    ),
}


def peak(path: Path, format_: str, instrument: str) -> int:
    """Bytes that reading a file takes at the most, beside what the process takes anyway."""
    root = Path(__file__).parents[2]
    # By way of a shell, since a process begins with the peak of the one that it was forked from.
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@"', "sh", sys.executable, "-c", CODE, str(path), format_, instrument],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    rows, taken = map(int, done.stdout.split())
    assert rows > 100_000
    return taken


@pytest.mark.long
@pytest.mark.parametrize("format_", LINES)
def test_a_large_text_takes_at_most_seven_times_its_size(tmp_path: Path, format_: str) -> None:
    instrument, header, line = LINES[format_]
    path = tmp_path / "large.csv"
    with path.open("w") as file:
        file.write(header)
        file.writelines(line(k) for k in range(SIZE // len(line(10**5))))
    assert peak(path, format_, instrument) < 7 * path.stat().st_size + SLACK


@pytest.mark.long
def test_a_packed_file_takes_less_than_its_text_unpacked(tmp_path: Path, packed) -> None:
    instrument, _, line = LINES["binance-aggtrades"]
    text = "".join(line(k) for k in range(SIZE // len(line(10**5)))).encode()
    path = tmp_path / "large.zip"
    path.write_bytes(packed(text, "zip"))
    assert peak(path, "binance-aggtrades", instrument) < 2.5 * len(text) + SLACK


@pytest.mark.long
def test_a_columnar_file_takes_at_most_four_times_its_columns(tmp_path: Path) -> None:
    count = 1_500_000
    frame = pa.table(
        {
            "ts": [1736121600000 + k for k in range(count)],
            "price": [8000.5 + k % 997 for k in range(count)],
            "qty": [0.5] * count,
            "side": [True, False] * (count // 2),
        }
    )
    path = tmp_path / "large.parquet"
    pq.write_table(frame, path)
    assert peak(path, "parquet", "binance.spot.BTC-USDT") < 4 * frame.nbytes + SLACK
