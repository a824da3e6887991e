"""Packs of features: declared once, found by everything that must know them.

A pack is a list of step kernels. Registering it is all it takes to be materialized, shown with
units and sources, leak-checked, and offered to strategies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vostok_core.compiled import nb
from vostok_core.features.inputs import INPUT_FIELDS
from vostok_core.hashing import hash_value
from vostok_core.registered import Registry

_ROW = nb.float64[::1]
STEP_SIGNATURE = nb.void(_ROW, _ROW, _ROW, _ROW)
STEP_TYPE = nb.types.FunctionType(STEP_SIGNATURE)


def step_kernel(function: Callable[..., None]) -> Callable[..., None]:
    """Compile `step(bar, params, state, out)`, which consumes one bar and writes its outputs.

    `bar`: one row of the pack's inputs. `params`: the kernel's constants. `state`: what it
    remembers, all zeros before the first bar. `out`: its outputs, to be written on every call.
    The compiled code is cached on disk; `fastmath` is off, so every run gives the same bits.
    """
    compiled: Callable[..., None] = nb.njit(STEP_SIGNATURE, cache=True, nogil=True)(function)
    return compiled


@dataclass(frozen=True)
class Feature:
    """One output column: its name, unit, meaning and source (book, paper or document)."""

    name: str
    unit: str
    description: str
    source: str


@dataclass(frozen=True)
class Kernel:
    """One step function with its constants.

    Attributes:
        step: Compiled by `step_kernel`.
        outputs: The columns it writes, in order.
        params: Its constants.
        state_size: Length of the state it needs.
        warmup: Bars after which its outputs no longer depend, to double precision or by
            construction, on where the walk began; they are NaN until then.
        capped: The warm-up is shorter than that by declaration, because the outputs remember for
            too long: they depend a little on where the walk began, which the anchor settles.
    """

    step: Callable[..., None]
    outputs: tuple[Feature, ...]
    params: tuple[float, ...]
    state_size: int
    warmup: int
    capped: bool = False


@dataclass(frozen=True)
class Pack:
    """A named, versioned list of kernels over one kind of input.

    `version` must change whenever a value that the pack computes changes.
    """

    name: str
    version: str
    description: str
    inputs: Literal["bars", "sentiment"]
    kernels: tuple[Kernel, ...]

    def __post_init__(self) -> None:
        names = self.columns
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"pack {self.name!r} declares {', '.join(doubled)} twice")

    @property
    def features(self) -> tuple[Feature, ...]:
        return tuple(feature for kernel in self.kernels for feature in kernel.outputs)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns of one input row."""
        return INPUT_FIELDS[self.inputs]

    @property
    def warmup(self) -> int:
        """Bars that the slowest feature needs before its first value."""
        return max((kernel.warmup for kernel in self.kernels), default=0)

    @property
    def hash(self) -> str:
        """Hash of everything declared: names, constants, warm-ups, order and version."""
        return hash_value(
            {
                "name": self.name,
                "version": self.version,
                "inputs": self.inputs,
                "kernels": [
                    [[f.name for f in k.outputs], list(k.params), k.state_size, k.warmup]
                    for k in self.kernels
                ],
            }
        )


_PACKS: Registry[Pack] = Registry("pack", "vostok_core.features.packs")


def register(pack: Pack) -> Pack:
    """Make a pack known by its name.

    Raises:
        ValueError: Another pack has its name.
    """
    return _PACKS.register(pack)


def packs() -> dict[str, Pack]:
    """Every registered pack, by name, with the built-in ones first."""
    return _PACKS.all()


def pack(name: str) -> Pack:
    """A pack by name.

    Raises:
        UnknownName: None is registered under it.
    """
    return _PACKS.get(name)
