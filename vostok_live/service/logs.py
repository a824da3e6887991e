"""What happens, written down for people and for programs: lines in a terminal, JSON in a file.

`<state folder>/daemon.log` holds one JSON object on a line and only its owner can read it. Its
fields:

    ts               when, by the wall: RFC 3339, UTC, microseconds
    level            debug, info, warning, error or critical
    event            what happened, one word; `log` for a line of a library
    message          in words
    logger           who says so
    run, strategy, instrument
                     of the daemon
    error            a traceback, where there is one
    ...              whatever belongs to the event: client_order_id, seq, market_ts, ...

Secrets are taken out of both. A log that can't be written stops nothing: the journal counts.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Literal, TextIO

from vostok_live.service.redact import Redactor

NAME = "daemon.log"
ROOT = "vostok.live"
"""Loggers of the daemon are this one and those below it."""

Severity = Literal["debug", "info", "warning", "error", "critical"]

_FIELDS = "vostok_fields"
_EVENT = "vostok_event"
_OWN = ("ts", "level", "event", "message", "logger", "error")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_STYLES = {"WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold white on red"}


def event(
    logger: logging.Logger, level: Severity, name: str, message: str = "", /, **fields: object
) -> None:
    """Log something that happened.

    Args:
        logger: Of the module that says so, below `ROOT`.
        level: How bad it is.
        name: What happened, one word.
        message: In words.
        fields: What belongs to it, as `client_order_id`. Names of the fields that every line has
            are not for them.
    """
    assert not set(_OWN) & set(fields), "a field that every line has"
    logger.log(
        getattr(logging, level.upper()),
        "%s",
        message,
        extra={_EVENT: name, _FIELDS: fields},
        exc_info=sys.exc_info()[0] is not None and level in ("error", "critical"),
    )


@contextmanager
def logging_to(
    state: Path,
    about: Mapping[str, object],
    *,
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
    level: Severity = "info",
    name: str = NAME,
    max_bytes: int = 20_000_000,
    files: int = 5,
) -> Iterator[Path]:
    """Log to the state folder and to a terminal, until the block ends.

    The daemon's own loggers are heard from `level` on, those of libraries from warnings on, and
    Python's warnings too.

    Args:
        state: The state folder, which exists.
        about: Fields of every line: `run`, `strategy`, `instrument`.
        secrets: What must be written nowhere.
        stream: Where lines for people go; standard error by default.
        level: Least severity of what is logged.
        name: Of the file.
        max_bytes: Size at which a new file is begun.
        files: Older files that are kept.

    Yields:
        The file.
    """
    path = state / name
    redactor = Redactor(secrets)
    handlers: list[logging.Handler] = [
        _PrivateFile(path, max_bytes, files, _JsonLines(about, redactor)),
        _Terminal(sys.stderr if stream is None else stream, redactor),
    ]
    root, own = logging.getLogger(), logging.getLogger(ROOT)
    before = root.level, own.level, root.handlers[:]
    root.setLevel(logging.WARNING)
    own.setLevel(getattr(logging, level.upper()))
    root.handlers[:] = handlers
    logging.captureWarnings(capture=True)
    try:
        yield path
    finally:
        logging.captureWarnings(capture=False)
        root.setLevel(before[0])
        own.setLevel(before[1])
        root.handlers[:] = before[2]
        for handler in handlers:
            handler.close()


class _JsonLines(logging.Formatter):
    """A record as a JSON object on one line."""

    def __init__(self, about: Mapping[str, object], redactor: Redactor) -> None:
        super().__init__()
        self._about = dict(about)
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "ts": at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": getattr(record, _EVENT, "log"),
            "message": record.getMessage(),
            "logger": record.name,
            **self._about,
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        clean = {key: _finite(self._redactor.value(value, key)) for key, value in line.items()}
        return json.dumps(clean, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class _PrivateFile(RotatingFileHandler):
    """A file that its owner alone can read, begun anew when it is large."""

    def __init__(self, path: Path, max_bytes: int, files: int, form: logging.Formatter) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=files, encoding="utf-8", delay=True)
        self.setFormatter(form)

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        descriptor = os.open(self.baseFilename, flags, 0o600)
        os.fchmod(descriptor, 0o600)
        return TextIOWrapper(
            os.fdopen(descriptor, "ab"), encoding="utf-8", errors="backslashreplace"
        )

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's own name)
        _complain(record)


class _Terminal(logging.StreamHandler[TextIO]):
    """A line for a person, in colour where it is a terminal."""

    def __init__(self, stream: TextIO, redactor: Redactor) -> None:
        super().__init__(stream)
        self._redactor = redactor
        self._colours = False
        with suppress(ValueError):  # a stream that is closed can't be asked
            self._colours = stream.isatty()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self._colours:
                self._print(record)
            else:
                self.stream.write(f"{self._said(record)}\n")
                self.flush()
        except Exception:  # noqa: BLE001  (whatever goes wrong with a log stops nothing)
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's own name)
        _complain(record)

    def _print(self, record: logging.LogRecord) -> None:
        from rich.console import Console
        from rich.text import Text

        line = Text(self._said(record), style=_STYLES.get(record.levelname, ""))
        line.highlight_regex(r"^\S+", "dim")
        Console(file=self.stream, highlight=False, soft_wrap=True).print(line)

    def _said(self, record: logging.LogRecord) -> str:
        """The line, without what a terminal would obey."""
        at = datetime.fromtimestamp(record.created, UTC)
        fields = getattr(record, _FIELDS, {})
        parts = [
            f"{at:%H:%M:%S}",
            f"{record.levelname.lower():<8}",
            getattr(record, _EVENT, record.name),
            record.getMessage(),
            " ".join(f"{key}={self._redactor.value(value, key)}" for key, value in fields.items()),
        ]
        text = "  ".join(part for part in parts if part)
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        return _CONTROL.sub("�", self._redactor.text(text))


def _finite(value: object) -> object:
    """JSON knows neither NaN nor infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value


def _complain(record: logging.LogRecord) -> None:
    """Say that something could not be logged, without what it was: that may hold a secret."""
    error = sys.exc_info()[1]
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"a line of {record.name} can't be logged: {type(error).__name__}\n")
