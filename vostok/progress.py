"""How far something is: bars in a terminal, and lines where its output goes elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

_EVERY = 5.0  # seconds between two lines


@contextmanager
def showing(console: Console, every: float = _EVERY) -> Iterator[Progress]:
    """Show the tasks that are added to it.

    Args:
        console: Where.
        every: Seconds between two looks at them where the console is no terminal.
    """
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console) as progress:
            yield progress
        return
    with Progress(console=console, disable=True) as progress:
        over = threading.Event()
        teller = threading.Thread(target=_tell, args=(console, progress, every, over), daemon=True)
        teller.start()
        try:
            yield progress
        finally:
            over.set()
            teller.join()


def _tell(console: Console, progress: Progress, every: float, over: threading.Event) -> None:
    """Print what has changed, every now and then and once more at the end."""
    told: dict[int, str] = {}
    while True:
        last = over.wait(every)
        for task in progress.tasks:
            said = f"{task.description}  {task.percentage:.0f} %"
            if told.get(task.id) != said:
                told[task.id] = said
                console.print(f"{said}  {task.elapsed or 0.0:.0f} s", highlight=False)
        if last:
            return
