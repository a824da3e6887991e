"""Whole schedules, in processes of their own: `python -m tests.simulation` as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.faults import KINDS
from tests.simulation.mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[2]

ONCE_FAILED = {
    # Killed between the news of two orders of one list that both are absent.
    139: "request_lost,kill_at_commit",
}
"""Seeds that a mistake was found with, and the kinds of faults that it takes."""


def simulation(*words: str, hash_seed: str = "0") -> Any:
    """What it prints, as JSON; an exit other than by its verdict is a failure."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.simulation", *words, "--json"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ended.returncode in (0, 1), ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def failures(outcomes: list[dict[str, Any]]) -> dict[int, list[str]]:
    return {each["seed"]: each["failures"] for each in outcomes if each["failures"]}


def tally(outcomes: list[dict[str, Any]]) -> Counter[str]:
    return sum((Counter(each["tally"]) for each in outcomes), start=Counter())


@pytest.mark.parametrize("seeds", ["0..49", "50..99", "100..149", "150..199"])
def test_after_every_storm_all_is_in_order(seeds: str) -> None:
    outcomes = simulation("--seeds", seeds, "--seconds", "60", "--jobs", "1")
    assert failures(outcomes) == {}
    assert len(outcomes) == 50
    counted = tally(outcomes)
    assert {kind for kind in KINDS if not counted[kind]} == set(), "some faults never struck"
    for name in ("orders", "fills", "bars", "lives", "asked_kill", "asked_reset"):
        assert counted[name] >= 3, name


@pytest.mark.long
@pytest.mark.parametrize("first", range(1_000, 1_400, 100))
def test_many_more_schedules(first: int) -> None:
    assert failures(simulation("--seeds", f"{first}..{first + 99}", "--jobs", "2")) == {}


@pytest.mark.parametrize("seed", ONCE_FAILED)
def test_what_once_failed(seed: int) -> None:
    (outcome,) = simulation("--seeds", f"{seed}", "--faults", ONCE_FAILED[seed])
    assert outcome["failures"] == []
    assert outcome["tally"]["kill_at_commit"] > 0


def test_on_a_good_way_nothing_goes_wrong() -> None:
    outcomes = simulation("--seeds", "0..3", "--faults", "none", "--jobs", "1")
    assert failures(outcomes) == {}
    counted = tally(outcomes)
    assert counted["lives"] == 4
    assert counted["invalid_bars"] == 0
    assert counted["fills"] > 20


def test_the_same_seed_is_the_same_schedule_in_every_process() -> None:
    together = simulation("--seeds", "3,4,9,16", "--jobs", "2")
    alone = [simulation("--seed", "16"), simulation("--seed", "9")]
    prints = {each["seed"]: each["fingerprint"] for each in together}
    assert [each["fingerprint"] for each in alone] == [prints[16], prints[9]]
    assert len(set(prints.values())) == 4
    assert alone[0]["tally"] == next(e["tally"] for e in together if e["seed"] == 16)


def test_every_mistake_is_found() -> None:
    found = simulation("--mutants", "--jobs", "1")
    assert set(found) == set(MUTANTS)
    rules = {name: why.partition(":")[0] for name, (_, why) in found.items()}
    assert rules["resends"] == "once"
    assert rules["skips-holes"] == "repaired"
    assert rules["writes-late"] == "intent"
    assert rules["forgets-the-kill"] == "killed"
    assert found["divides-twins"][0] == 1
    assert rules["acts-late"] == "late"
    assert rules["never-doubts"] == "ready"
    assert rules["rings-never"] == "rung"
    assert rules["holds-on"] == "overdue"


def test_a_failure_is_shrunk_to_the_faults_that_it_takes() -> None:
    ended = subprocess.run(
        [
            sys.executable, "-m", "tests.simulation", "--seed", "8", "--mutant", "resends",
            "--faults", "answer_lost,clock,frame_twice,throttled", "--seconds", "120",
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    (least,) = [line for line in ended.stdout.splitlines() if "least:" in line]
    assert "--seed 8 --seconds 30 --faults answer_lost --mutant resends --trace" in least
