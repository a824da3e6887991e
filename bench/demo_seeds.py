"""Does the demo come out right for any seed? Runs it for several and counts the decisions.

    .venv/bin/python bench/demo_seeds.py [--seeds 1..6]

Each seed is a whole `vostok demo` in a lake of its own, some three minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", default="1..6", help="first..last")
    first, last = (int(part) for part in parser.parse_args().seeds.split(".."))
    right = 0
    for seed in range(first, last + 1):
        began = time.monotonic()
        decisions = run(seed)
        good = all((edge > 0) == (made == "promoted") for edge, made, _ in decisions)
        right += good
        told = "; ".join(
            f"edge {edge:g} {made}" + (f" ({', '.join(failed)} fail)" if failed else "")
            for edge, made, failed in decisions
        )
        print(f"seed {seed}: {told}; {time.monotonic() - began:.0f} s", flush=True)
    print(f"{right} of {last - first + 1} seeds: planted promoted and martingale refused")


def run(seed: int) -> list[tuple[float, str, list[str]]]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = [sys.executable, "-m", "vostok", "demo", "--seed", str(seed)]
        command += ["--lake", str(Path(folder) / "lake"), "--json", str(out)]
        subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
        result = json.loads(out.read_text())
    return [
        (
            promotion["planted"],
            promotion["decision"],
            [rule["name"] for rule in promotion["rules"] if rule["verdict"] == "fail"],
        )
        for promotion in result["promotions"]
    ]


if __name__ == "__main__":
    main()
