"""Days of unattended recording, in virtual time and in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.live.recorder_project import ABC, XYZ

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.long


def days(*words: str) -> dict[str, Any]:
    """What came of some days; what is not in order ends the process."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.simulation.recorder_days", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def test_days_in_which_all_goes_wrong_are_whole_and_what_was_missed_is_known() -> None:
    found = days("--seed", "1", "--days", "2")
    tally = found["tally"]
    assert min(tally[kind] for kind in ("reset", "half_open", "refusal", "kill")) >= 3
    assert found["most_waiting"] == 1, "every hour landed as it ended"
    for name in (ABC, XYZ):
        assert found[name]["days"] == 3
        assert found[name]["hours"] >= 48
        assert found[name]["fetched"] > 30
        assert found[name]["sequence"] > 10
        # A reading of the clock is off by the network's latency; the recorder's own by seconds.
        assert len(found[name]["off"]) >= len(found["off"]) - 1
        assert all(min(abs(off - o) for o in found["off"]) < 0.21 for off in found[name]["off"])


def test_the_disconnect_of_every_24_hours_leaves_no_break() -> None:
    """Announced by the exchange a minute before; nothing else goes wrong."""
    found = days("--seed", "2", "--days", "2.2", "--kinds", "", "--no-renewal")
    assert found["tally"]["lives"] == 1
    assert found["ended"] == {"shutdown": 2, "stopped": 1}
    for name in (ABC, XYZ):
        assert found[name]["sequence"] == 0
        assert found[name]["seams"] == 0
        assert found[name]["uncovered"] == 2, "before it began, and after it ended"


def test_connections_are_renewed_before_they_are_ended() -> None:
    found = days("--seed", "3", "--days", "1.1", "--kinds", "")
    assert found["ended"] == {"age": 1, "stopped": 1}
    assert found[ABC]["sequence"] == 0
    assert found[ABC]["uncovered"] == 2


@pytest.mark.parametrize("seed", range(10, 16))
def test_many_more_days(seed: int) -> None:
    days("--seed", str(seed), "--days", "6")
