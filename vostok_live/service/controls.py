"""What a person can ask for, and what is answered: the bodies of `POST /control/<action>`."""

from __future__ import annotations

from typing import Final, get_args

from msgspec import Struct

from vostok_core.trading.events import Action
from vostok_live.service.status import State

ACTIONS: Final[tuple[Action, ...]] = get_args(Action)


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """Who asks, for the record: a program's name, or a person's."""

    asked_by: str = "somebody"


class Controlled(Struct, frozen=True):
    """How the engine stands after a control.

    Attributes:
        action: What was asked for.
        done: Whether the engine has heard of it; if not, it will, and the status shows it.
        state, paused, killed: As in the status.
    """

    action: Action
    done: bool
    state: State
    paused: bool
    killed: str | None
