"""`python -m tests.simulation`: replay a seed, or run many; see docs/simulation.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.simulation.campaign import Campaign, command
from tests.simulation.faults import KINDS
from tests.simulation.mutants import MUTANTS
from tests.simulation.schedule import Outcome, Schedule

_HASH_SEED = "PYTHONHASHSEED"


def main(words: Sequence[str]) -> int:
    """Run it; 1 where something was not in order."""
    told = _parser().parse_args(words)
    if told.list:
        for name, kind in KINDS.items():
            print(f"{name:<16}{kind.what}")
        return 0
    show = (lambda line: print(line, flush=True)) if told.trace else None
    with Campaign(told.jobs, show) as campaign:
        if told.mutants:
            return _mutants(campaign, told)
        mutant = None if told.mutant is None else MUTANTS[told.mutant]
        kinds = told.faults if mutant is None or told.faults is not None else mutant.kinds
        seeds = [told.seed] if told.seed is not None else told.seeds
        schedules = [Schedule(seed, told.seconds, kinds, told.mutant) for seed in seeds]
        if told.seed is not None:
            return _one(campaign, schedules[0], told)
        return _many(campaign, schedules, told)


def _one(campaign: Campaign, schedule: Schedule, told: argparse.Namespace) -> int:
    """Replay one seed."""
    outcome = campaign.one(schedule)
    if told.json:
        print(json.dumps(_plain(outcome)))
    else:
        print(_summary([outcome]))
        print(f"fingerprint {outcome.fingerprint}")
        _explain(campaign, [(schedule, outcome)] if outcome.failures else [], told)
    return 1 if outcome.failures else 0


def _many(campaign: Campaign, schedules: list[Schedule], told: argparse.Namespace) -> int:
    """Run many seeds."""
    began = time.monotonic()
    by_seed = {schedule.seed: schedule for schedule in schedules}
    outcomes: list[Outcome] = []
    for outcome in campaign.run(schedules):
        outcomes.append(outcome)
        if sys.stderr.isatty():
            bad = sum(bool(each.failures) for each in outcomes)
            print(f"\r{len(outcomes)}/{len(schedules)}, {bad} failed ", end="", file=sys.stderr)
        if outcome.failures and told.until_failure:
            break
    failed = [(by_seed[o.seed], o) for o in outcomes if o.failures]
    if told.json:
        print(json.dumps([_plain(outcome) for outcome in outcomes]))
        return 1 if failed else 0
    took = time.monotonic() - began
    print(f"\n{_summary(outcomes)}")
    print(f"{took:.0f} s, {len(outcomes) / took:.1f} schedules a second")
    _explain(campaign, failed, told)
    return 1 if failed else 0


def _mutants(campaign: Campaign, told: argparse.Namespace) -> int:
    """Look for every mistake; 1 where one is not found."""
    found: dict[str, tuple[int, str]] = {}
    for name, mutant in MUTANTS.items():
        tries = [
            Schedule(seed, told.seconds, mutant.kinds, name)
            for seed in range(mutant.start, mutant.start + mutant.within)
        ]
        for number, outcome in enumerate(campaign.run(tries), 1):
            if outcome.failures:
                found[name] = number, outcome.failures[0]
                break
    if told.json:
        print(json.dumps(found))
    else:
        for name in MUTANTS:
            number, why = found.get(name, (0, "NOT FOUND"))
            print(f"{name:<20}{number:>3}  {why[:90]}")
    return 0 if len(found) == len(MUTANTS) else 1


def _summary(outcomes: Sequence[Outcome]) -> str:
    tally: Counter[str] = sum((o.tally for o in outcomes), start=Counter())
    virtual = sum(o.virtual for o in outcomes)
    settled = [o.settled for o in outcomes if not o.failures]
    faults = ", ".join(f"{kind} {tally[kind]}" for kind in KINDS if tally[kind])
    rest = ", ".join(
        f"{name} {count}" for name, count in sorted(tally.items()) if name not in KINDS
    )
    return (
        f"{len(outcomes)} schedules, {virtual:.0f} virtual seconds, "
        f"{sum(bool(o.failures) for o in outcomes)} failed; "
        f"in order {max(settled, default=0):.0f} s after the storm at the latest\n"
        f"faults: {faults or 'none'}\n{rest}"
    )


def _explain(
    campaign: Campaign, failed: Sequence[tuple[Schedule, Outcome]], told: argparse.Namespace
) -> None:
    """Say what was not in order, and how to see it again."""
    for schedule, outcome in failed:
        print(f"\nseed {schedule.seed} failed:")
        for each in outcome.failures:
            print(f"  {each}")
        print(f"  again: {command(schedule)}")
        if not told.trace and (told.shrink or len(failed) == 1):
            print(f"  least: {command(campaign.shrink(schedule))}")


def _plain(outcome: Outcome) -> dict[str, object]:
    plain = dict(vars(outcome))
    if not outcome.failures:
        del plain["lines"]
    return plain


def _seeds(text: str) -> list[int]:
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("..")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def _kinds(text: str) -> tuple[str, ...]:
    if text == "none":
        return ()
    names = tuple(KINDS) if text == "all" else tuple(text.split(","))
    unknown = set(names) - set(KINDS)
    if unknown:
        raise argparse.ArgumentTypeError(f"no such fault: {', '.join(sorted(unknown))}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=int, help="replay one seed")
    which.add_argument("--seeds", type=_seeds, help="run many, such as 0..199 or 3,7,20..29")
    which.add_argument("--mutants", action="store_true", help="look for every mistake built in")
    which.add_argument("--list", action="store_true", help="list the kinds of faults")
    parser.add_argument("--seconds", type=float, default=100.0, help="of storm; virtual")
    parser.add_argument("--faults", type=_kinds, help="kinds, with commas between; none; all")
    parser.add_argument("--trace", action="store_true", help="print all that happens")
    parser.add_argument("--jobs", type=int, default=2, help="schedules at a time")
    parser.add_argument("--mutant", choices=MUTANTS, help="a daemon with a mistake built in")
    parser.add_argument("--until-failure", action="store_true", help="stop at the first failure")
    parser.add_argument("--shrink", action="store_true", help="shrink every failure")
    parser.add_argument("--json", action="store_true", help="print outcomes as JSON")
    return parser


if __name__ == "__main__":
    if _HASH_SEED not in os.environ:
        # What a set of texts is gone through by must be the same each time.
        os.environ[_HASH_SEED] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
