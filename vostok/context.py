"""The project that a command is about: the nearest folder upward with `vostok.toml`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vostok_core.project import Project


@dataclass(frozen=True)
class Context:
    """Where a command was called, and how. Nothing is read before `project` is asked for.

    Attributes:
        lake: The lake that `--lake` names, relative to `start`; else `VOSTOK_LAKE` and then
            `vostok.toml` say.
        start: The folder that the project is looked for from.
        environ: The environment: `VOSTOK_PROJECT`, `VOSTOK_LAKE`, overrides of settings.
    """

    lake: Path | None = None
    start: Path = field(default_factory=Path.cwd)
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @cached_property
    def project(self) -> Project:
        """The project.

        Raises:
            SettingsError: There is no `vostok.toml`, or it can't be used.
        """
        from vostok_core.project import find_project

        return find_project(self.start, self.environ, self.lake)
