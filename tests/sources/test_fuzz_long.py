"""Fuzzing with many more inputs, in processes of their own where one could take a process down."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sources.fuzzing import (
    NOTATIONS,
    PACKINGS,
    SPOILING,
    TEXTS,
    must_be_read_or_refused,
    spoilt,
)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("format_", TEXTS)
@settings(
    max_examples=3_000, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
@given(spoiling=SPOILING, how=PACKINGS, before=st.booleans(), notation=NOTATIONS)
def test_many_spoilt_texts_are_read_or_refused(packed, format_, spoiling, how, before, notation):
    instrument, text = TEXTS[format_]
    data = text.encode()
    data = packed(spoilt(data, spoiling), how) if before else spoilt(packed(data, how), spoiling)
    must_be_read_or_refused(data, format_, instrument)
    if format_ == "csv":
        must_be_read_or_refused(data, format_, instrument, notation)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("container", ["parquet", "feather"])
def test_many_spoilt_columnar_files_are_read_or_refused(container: str) -> None:
    """In a process of its own, of limited memory: what is damaged may claim any size."""
    _run("fuzz_columnar", container, "8000")


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("format_", ["binance-aggtrades", "kraken-trades", "tardis-trades", "csv"])
def test_inputs_that_follow_the_code_are_read_or_refused(format_: str, tmp_path: Path) -> None:
    """Atheris looks for inputs that reach code which none before has reached."""
    pytest.importorskip("atheris")
    _run("fuzz_follow", format_, str(tmp_path), "60")


def _run(module: str, *arguments: str) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", f"tests.sources.{module}", *arguments],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
