"""Runs a program, and ends it with all that it started when standard input ends.

Whoever starts a warden holds the other end of that pipe. The system closes it however the holder
ends, killed included, on Linux and macOS alike; so nothing that a warden runs outlives the holder
by more than `PATIENCE`.

    python -m vostok.warden PROGRAM [ARGUMENT...]
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence

PATIENCE = 15.0
"""Seconds that a program has to end by itself, once it has been asked to."""
_POLL = 0.2


def main(arguments: Sequence[str]) -> int:
    """Run the program until it ends, standard input does, or SIGTERM comes.

    Returns:
        The program's code; 0 after SIGTERM.
    """
    # Only noted: an exception could come between the start of the program and what ends it.
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: asked.append(number))
    child = subprocess.Popen(  # noqa: S603  (what the holder asks for)
        arguments, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        while child.poll() is None and not asked:
            if select.select([sys.stdin], [], [], _POLL)[0]:
                break
    finally:
        _end(child)
    return 0 if asked else child.returncode


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    # A server that was killed leaves its code servers behind: they share its group.
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
