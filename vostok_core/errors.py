"""Every error that Vostok raises on purpose.

    VostokError                      exit code 1
    ├── UsageError                   exit code 2: what was asked can't be meant
    │   ├── SettingsError            vostok.toml
    │   ├── StrategyError            a strategy file
    │   └── UnknownName              an instrument, strategy, pack, feature, table … nobody declared
    ├── DataError                    exit code 1: what was read can't be used
    │   ├── SourceFormatError        a file is not what it claims to be
    │   ├── FetchError               what was asked of another machine did not come
    │   ├── SchemaViolation          rows that a table refuses
    │   ├── MissingPartition         a partition that should have been written before
    │   ├── StalePartition           a partition made by other code or rules than are now in force
    │   ├── UnfitDay                 a day of market data that training would be poisoned by
    │   ├── NotYetKnowable           a result that needs data from after the newest there is
    │   ├── CorruptPartition         a file in the lake that doesn't read or doesn't match its hash
    │   ├── ScorerError              a sentiment scorer that fails or answers nonsense
    │   ├── LakeVersionError         a lake written by a newer Vostok
    │   └── Conflict                 somebody else wrote what was to be written
    ├── StoreError                   exit code 1: an object store that doesn't answer, or refuses
    ├── ModelError                   exit code 1
    │   ├── TrainingError            a model that can't be fitted on what there is
    │   └── BundleError              a bundle that is missing, incomplete or was tampered with
    └── Refused                      exit code 3: a check or the gate said no

Each error says what happened, where, and ends with a hint on how to mend it. `to_json` and
`from_json` take one from a process to another without loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import SequenceMatcher, get_close_matches
from typing import Any, Self


class VostokError(Exception):
    """Something went wrong that a person can mend.

    Args:
        what: One sentence, without a full stop, that says what happened.
        where: The file, line, partition or setting that it happened in.
        hint: One sentence that says what to do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: object = None, hint: str | None = None) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        text = self.what if self.where is None else f"{self.where}: {self.what}"
        return text if self.hint is None else f"{text}. Hint: {self.hint}"

    def within(self, place: object) -> Self:
        """This error, which also says the wider place (a run, an instrument) that it came from."""
        self.where = str(place) if self.where is None else f"{place}: {self.where}"
        return self

    def to_json(self) -> dict[str, str | None]:
        """Kind and parts, for another process."""
        kind = type(self).__name__
        return {"kind": kind, "what": self.what, "where": self.where, "hint": self.hint}

    @staticmethod
    def from_json(parts: Mapping[str, Any]) -> VostokError:
        """The error that `to_json` took apart: of the same class, with the same parts."""
        kinds = {kind.__name__: kind for kind in _kinds(VostokError)}
        return kinds[parts["kind"]](parts["what"], where=parts["where"], hint=parts["hint"])


class UsageError(VostokError):
    """What was asked can't be meant."""

    exit_code = 2


class SettingsError(UsageError):
    """`vostok.toml`, or an override of it, can't be used."""


class StrategyError(UsageError):
    """A strategy file can't be used."""


class UnknownName(UsageError):
    """A name that nobody declared."""

    @classmethod
    def of(
        cls, kind: str, name: str, known: Iterable[str], *, declared_in: str | None = None
    ) -> UnknownName:
        """Name the nearest known names, and where names of this kind are declared."""
        hint = nearest(name, known) or "none is declared yet"
        if declared_in is not None:
            hint += f" (declared in {declared_in})"
        return cls(f"no {kind} is called {name!r}", hint=hint)


class DataError(VostokError):
    """What was read can't be used."""


class SourceFormatError(DataError):
    """A source file is not what it claims to be."""


class FetchError(DataError):
    """What was asked of another machine did not come."""


class SchemaViolation(DataError):
    """Rows that a table of the lake refuses."""


class MissingPartition(DataError):
    """A partition that should have been written before."""


class StalePartition(DataError):
    """A partition made by other code or rules, or of other data, than are now in force."""


class UnfitDay(DataError):
    """A day of market data is wrong in a way that no bar would be marked invalid for."""


class NotYetKnowable(DataError):
    """A result that needs data from after the newest there is."""


class CorruptPartition(DataError):
    """A file in the lake that doesn't read, or doesn't match the hash in its footer."""


class ScorerError(DataError):
    """A sentiment scorer failed, or its answer can't be used."""


class LakeVersionError(DataError):
    """A lake written by a newer Vostok."""


class Conflict(DataError):
    """Somebody else has written what was to be written, since its writer looked."""


class StoreError(VostokError):
    """An object store doesn't answer, refuses, or can't be trusted with a lake."""


class ModelError(VostokError):
    """A model can't be made or used."""


class TrainingError(ModelError):
    """A model can't be fitted on what there is."""


class BundleError(ModelError):
    """A bundle is missing, incomplete, or was tampered with."""


class Refused(VostokError):
    """A check or the gate said no."""

    exit_code = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """What somebody who wrote `name` may have meant, or what there is to choose from.

    Empty where nothing is known.
    """
    choices = sorted(known)
    near = get_close_matches(name, choices, n=3, cutoff=0.5)
    if near:
        likeness = [SequenceMatcher(a=name, b=choice).ratio() for choice in near]
        near = [each for each, like in zip(near, likeness, strict=True) if like > likeness[0] - 0.2]
        return f"did you mean {' or '.join(near)}?"
    if not choices:
        return ""
    return f"known: {', '.join(choices[:8])}{' …' if len(choices) > 8 else ''}"


def _kinds(base: type[VostokError]) -> Iterator[type[VostokError]]:
    yield base
    for kind in base.__subclasses__():
        yield from _kinds(kind)
