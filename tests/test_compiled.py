"""Compiled kernels follow every file that they froze a constant of, not only their own."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROBE = """
import numpy as np
from vostok_core.features.inputs import CLOSE, HIGH, LOW, OPEN
from vostok_core.features.kernels.clock import _shape_and_time
from vostok_core.market.bars import BAR_FIELDS

out = np.zeros(6)
bar = np.zeros(len(BAR_FIELDS))
bar[[OPEN, HIGH, LOW, CLOSE]] = 1, 10, 0, 9
_shape_and_time(bar, np.zeros(0), np.zeros(0), out)
print(out[0])
"""


def probe(folder: Path, **variables: str) -> float:
    """Where the close lies between low and high, as the copied library computes it."""
    environ = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    result = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=folder, env=environ | variables,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return float(result.stdout)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with a copy of the library's source and nothing compiled."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "vostok_core", tmp_path / "vostok_core", ignore=ignored)
    return tmp_path


def swap_open_and_close(copy: Path) -> None:
    """Exchange two constants that kernels freeze, in their own file alone."""
    path = copy / "vostok_core/features/inputs.py"
    text = path.read_text()
    assert text.count(" OPEN,") == text.count(" CLOSE,") == 1
    text = text.replace(" OPEN,", "?").replace(" CLOSE,", " OPEN,").replace("?", " CLOSE,")
    path.write_text(text)


@pytest.mark.parametrize("chosen", [False, True])
def test_a_constant_changed_in_another_file_is_compiled_anew(copy: Path, chosen: bool) -> None:
    variables = {"NUMBA_CACHE_DIR": str(copy / "cache")} if chosen else {}
    assert probe(copy, **variables) == 0.9
    swap_open_and_close(copy)
    assert probe(copy, **variables) == 0.9
    place = copy / "cache" if chosen else copy / "vostok_core" / "__pycache__"
    assert len(list(place.glob("kernels-*"))) == 2


def test_the_same_source_finds_what_it_compiled(copy: Path) -> None:
    probe(copy)
    (folder,) = (copy / "vostok_core" / "__pycache__").glob("kernels-*")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.nb?")}
    assert before
    probe(copy)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.nb?")} == before


def test_only_the_last_states_of_the_source_keep_their_kernels(copy: Path) -> None:
    place = copy / "vostok_core" / "__pycache__"
    for age in range(20):
        old = place / f"kernels-{age:016x}"
        old.mkdir(parents=True)
        os.utime(old, (1_000_000 - age, 1_000_000 - age))
    probe(copy)
    kept = {path.name for path in place.glob("kernels-*")}
    assert len(kept) == 8
    assert {f"kernels-{age:016x}" for age in range(7)} <= kept


def test_no_kernel_gets_its_numba_elsewhere() -> None:
    found = [
        path.name
        for path in (ROOT / "vostok_core").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import) and any(alias.name == "numba" for alias in node.names)
    ]
    assert sorted(found) == ["compiled.py", "fingerprint.py"]
