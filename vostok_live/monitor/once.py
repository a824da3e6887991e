"""The status as plain text, once: for a terminal far away, and for a build's log."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from vostok_live.monitor import ink, panels
from vostok_live.service.status import Status

_HEIGHTS = {"price": 5, "decisions": 5, "trades": 5, "alerts": 5}
_WIDEST = 100
_PLAIN = str.maketrans(
    {"●": "*", "◌": "o", "■": "#", "‖": "=", "▲": "+", "▼": "-", "×": "x", "→": ">", "≤": "<=",
     "…": ".", "─": "-", "┼": "+", "━": "=", "┈": "."}
)  # fmt: skip
_CHARTS = ("price", "decisions")


def render(status: Status, console: Console) -> None:
    """Print a status.

    Colours are the console's: none where its output is no terminal. Where it can't write Unicode
    there are no charts, and signs become letters.

    Args:
        status: What to print.
        console: Where to.
    """
    plain = not console.encoding.lower().startswith("utf")
    width = min(console.width, _WIDEST)

    def put(line: Text, *, whole: bool = False) -> None:
        line = line.copy()
        line.rstrip()
        if not whole:
            line.truncate(width, overflow="ellipsis")
        if plain:
            line = Text(line.plain.translate(_PLAIN).encode("ascii", "replace").decode())
        console.print(line, highlight=False, no_wrap=True, soft_wrap=True)

    put(panels.headline(status, width))
    if not any(reason.code == "killed" for reason in status.reasons):
        put(panels.headword(status), whole=status.killed is not None)
    for reason in status.reasons:
        said = f" {reason.what}. Hint: {reason.hint}"
        put(Text.assemble(" ", (f"{reason.code}:", ink.WARN), said), whole=True)
    for name, (title, panel) in panels.PANELS.items():
        put(Text())
        put(Text(title, ink.STRONG))
        height = 1 if plain and name in _CHARTS else _HEIGHTS.get(name, 12)
        for line in panel(status, width - 2, height):
            put(Text("  ") + line)
