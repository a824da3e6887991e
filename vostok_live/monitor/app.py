"""The monitor: a screen that follows a daemon, through its restarts too."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid
from textual.theme import Theme
from textual.widget import Widget
from textual.widgets import Footer, Static

from vostok_core.errors import VostokError
from vostok_core.trading.events import Action
from vostok_live.monitor import ink, panels, words
from vostok_live.monitor.confirm import Confirm
from vostok_live.monitor.words import Units
from vostok_live.seams import Clock, real_seams
from vostok_live.service import client
from vostok_live.service.status import Status

_THEME = Theme(
    name="vostok",
    primary="#58a6ff",
    secondary="#8b949e",
    warning=ink.WARN,
    error=ink.BAD,
    success=ink.GOOD,
    foreground="#e6edf3",
    background="#0d1117",
    surface="#161b22",
    panel="#161b22",
    dark=True,
)
_TIMEOUT = 2.0  # seconds that an answer is waited for
_SAID = {
    "pause": "Paused: no position is opened. What is held keeps its exits.",
    "resume": "Resumed: positions may be opened.",
    "flatten": "Closing the position; entries are paused.",
}


class Panel(Widget):
    """A part of the screen.

    Args:
        name: Of the part, see `panels.PANELS`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(id=name)
        self.border_title, self._draw = panels.PANELS[name]
        self._status: Status | None = None

    def show(self, status: Status) -> None:
        """Show another status."""
        self._status = status
        self.refresh()

    def render(self) -> Text:
        width, height = self.content_size
        if self._status is None or width <= 0:
            return Text()
        lines = self._draw(self._status, width, height)
        for line in lines:
            line.truncate(width, overflow="ellipsis")
        return Text("\n", no_wrap=True, end="").join(lines)


class Monitor(App[None]):
    """Shows the daemon of a state folder.

    Args:
        state: The folder; it may not be there yet.
        clock: Tells since when no daemon answers.
        every: Seconds between two looks.
    """

    TITLE = "Vostok"
    ENABLE_COMMAND_PALETTE = False
    # Textual asks for lists, and for these names.
    HORIZONTAL_BREAKPOINTS = [(0, "-thin"), (72, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (34, "-tall")]  # noqa: RUF012
    CSS = """
    Screen { background: $background; }
    #head { height: 1; background: $surface; }
    #line { height: 1; }
    Grid { grid-size: 2; height: 1fr; }
    Panel {
        border: round #30363d; border-title-color: $secondary; padding: 0 1; height: 100%;
    }
    .-late { text-opacity: 40%; }
    .-short #trades { display: none; }
    .-short Grid { grid-rows: 1fr 1fr 1fr; }
    .-tall Grid { grid-rows: 5fr 5fr 4fr 4fr; }
    .-tall.-wide #health { row-span: 2; }
    .-thin Grid { grid-size: 1; grid-rows: 8; overflow-y: auto; }
    Footer { background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "control('pause')", "pause"),
        Binding("r", "control('resume')", "resume"),
        Binding("f", "flatten", "flatten"),
        Binding("q", "quit", "quit"),
    ]
    _ORDER = ("price", "position", "decisions", "money", "trades", "health", "alerts")

    def __init__(self, state: Path, *, clock: Clock, every: float = 1.0) -> None:
        super().__init__()
        self.shown: Status | None = None
        self.away: str | None = None
        self._state = state
        self._clock = clock
        self._every = every
        self._away_since = 0
        self._looking = False
        # Held here: what is asked of the app is looked for on the screen that is on top.
        self._head = Static(id="head", markup=False)
        self._line = Static(id="line", markup=False)
        self._panels = [Panel(name) for name in self._ORDER]

    def compose(self) -> ComposeResult:
        yield self._head
        yield self._line
        with Grid():
            yield from self._panels
        yield Footer(show_command_palette=False)

    async def on_mount(self) -> None:
        """Look at once, and again every so often."""
        self.register_theme(_THEME)
        self.theme = _THEME.name
        self.set_interval(self._every, self.look)
        self._draw()
        self.call_after_refresh(self.look)

    def on_resize(self) -> None:
        """The lines above fit the width."""
        self._draw()

    async def look(self) -> None:
        """Ask how the daemon stands, unless an answer is being waited for."""
        if self._looking:
            return
        self._looking = True
        try:
            status = await asyncio.to_thread(client.status, self._state, timeout=_TIMEOUT)
        except VostokError as error:
            self._lost(error)
        else:
            self._found(status)
        finally:
            self._looking = False
        self._draw()

    def action_control(self, action: Action) -> None:
        """Ask the daemon to do something."""
        self.run_worker(self._control(action), group="control")

    def action_flatten(self) -> None:
        """The same for what can't be taken back, after a question."""

        def answered(yes: bool | None) -> None:
            if yes:
                self.action_control("flatten")

        held = None if self.shown is None else self.shown.position
        what = "What is held"
        if held is not None and self.shown is not None:
            units = Units(self.shown)
            what = f"{units.qty(held.qty)} {units.base}"
        detail = f"{what} is sold at the market and entries are paused."
        self.push_screen(Confirm("Close the position now?", detail), answered)

    async def _control(self, action: Action) -> None:
        try:
            done = await asyncio.to_thread(
                client.control, self._state, action, asked_by="the monitor"
            )
        except VostokError as error:
            hint = f"\n{error.hint}" if error.hint else ""
            self.notify(
                f"{error.what}{hint}", title=f"{action} failed", severity="error", markup=False
            )
            return
        said = _SAID[action] if done.done else f"{action} was asked for; the daemon is slow."
        self.notify(said, markup=False)
        await self.look()

    def _found(self, status: Status) -> None:
        if self.shown is not None and status.run != self.shown.run:
            self.notify(f"The daemon was started anew: run {status.run}.", markup=False)
        self.shown, self.away = status, None
        self._head.remove_class("-late")
        for panel in self._panels:
            panel.remove_class("-late")
            panel.show(status)

    def _lost(self, error: VostokError) -> None:
        if self.away is None:
            self._away_since = self._clock.wall_ns() // 1_000
        self.away = error.what
        for widget in (self._head, *self._panels):
            widget.add_class("-late")

    def _draw(self) -> None:
        """The two lines above."""
        head, line = self._head, self._line
        width = self.size.width
        if self.shown is None:
            head.update(Text(f" {self._state}", f"bold {ink.QUIET}"))
        else:
            head.update(panels.headline(self.shown, width))
        if self.away is not None:
            now = self._clock.wall_ns() // 1_000
            lasted = words.duration(max(now - self._away_since, 0) / 1e6)
            since = words.clock(self._away_since)
            said = Text(f" Not reachable since {since} UTC ({lasted}): {self.away}", ink.BAD)
            said.truncate(width, overflow="ellipsis")
            line.update(said)
        elif self.shown is not None:
            line.update(panels.reasons(self.shown, width))
        else:
            line.update(Text(" Looking for the daemon.", ink.QUIET))


def run(state: Path) -> None:
    """Show the daemon of a state folder until the person quits.

    Args:
        state: The folder.
    """
    Monitor(state, clock=real_seams().clock).run()
