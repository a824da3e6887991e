"""Recorders that begin at once: `python -m tests.live.recorder_forks PROJECT`.

It forks itself for each address of an exchange that it reads, says the number of the new process,
and when that has ended how. It has imported what a recorder needs and done nothing yet, so a life
begins within milliseconds and can be killed at any moment, landing included: that goes on in a
thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from importlib import import_module
from pathlib import Path

from tests.live.recorder_project import recorder
from vostok_core.project import find_project

LATER = ("pandera.polars", "pyarrow.parquet", "vostok_core.lake.schemas", "rich.console")
"""What is imported where it is used."""


async def _live(root: Path, url: str) -> None:
    recording = recorder(find_project(root, {}), url)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, recording.stop)
    await recording.run()


def main(root: Path) -> None:
    """Fork until the input ends."""
    for name in LATER:
        import_module(name)
    logging.disable(logging.CRITICAL)
    for url in sys.stdin:
        pid = os.fork()
        if not pid:
            asyncio.run(_live(root, url.strip()))
            os._exit(0)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
