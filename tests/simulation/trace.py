"""What happened, line by line, and its fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable


class Trace:
    """Lines of what happened.

    Args:
        time: Virtual seconds.
        show: Called with every line as a person reads it; None to show nothing.

    Attributes:
        lines: All of them.
    """

    def __init__(self, time: Callable[[], float], show: Callable[[str], None] | None) -> None:
        self.lines: list[str] = []
        self._time = time
        self._show = show
        self._hash = hashlib.sha256()

    def say(self, who: str, what: str) -> None:
        """Add a line."""
        line = f"{self._time():10.3f}  {who:<8}  {what}"
        self.lines.append(line)
        self._hash.update(line.encode())
        if self._show is not None:
            self._show(line)

    def stamp(self, *contents: bytes) -> str:
        """The fingerprint of all lines, and of what else is given; hexadecimal."""
        made = self._hash.copy()
        for content in contents:
            made.update(content)
        return made.hexdigest()[:16]
