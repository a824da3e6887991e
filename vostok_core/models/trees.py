"""Tree ensembles as flat arrays, scored by one kernel.

Every node of every tree is one position in the arrays; a tree is a contiguous run that begins with
its root, and a child always stands after its parent within the run. That makes a walk finite
whatever the arrays hold, and it is checked when they are loaded.

The rule at a node is LightGBM's (`NumericalDecision` in its tree.h), which other families can be
written in: `value <= threshold` goes left; a missing value takes the node's default side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields

import numpy as np

from vostok_core.compiled import nb
from vostok_core.errors import BundleError

MISSING_NONE, MISSING_ZERO, MISSING_NAN = 0, 1, 2

# LightGBM's kZeroThreshold, a float32 literal: what is nearer to zero counts as zero.
_ZERO = float(np.float32(1e-35))

_I4 = nb.types.Array(nb.int32, 1, "C", readonly=True)
_U1 = nb.types.Array(nb.uint8, 1, "C", readonly=True)
_F8 = nb.types.Array(nb.float64, 1, "C", readonly=True)
_ROWS = nb.types.Array(nb.float64, 2, "C", readonly=True)


@nb.njit(
    nb.void(_I4, _I4, _F8, _I4, _I4, _U1, _U1, _F8, _ROWS, nb.float64[::1]), cache=True, nogil=True
)
def _score(  # type: ignore[no-untyped-def]
    root, feature, threshold, left, right, default_left, missing, leaf_value, rows, out
):
    for r in range(rows.shape[0]):
        total = 0.0
        for tree in range(root.shape[0]):
            node = root[tree]
            while feature[node] >= 0:
                value = rows[r, feature[node]]
                kind = missing[node]
                if np.isnan(value):
                    if kind == MISSING_NAN:
                        node = left[node] if default_left[node] else right[node]
                        continue
                    value = 0.0
                elif -_ZERO <= value <= _ZERO:
                    value = 0.0
                if kind == MISSING_ZERO and value == 0.0:
                    node = left[node] if default_left[node] else right[node]
                elif value <= threshold[node]:
                    node = left[node]
                else:
                    node = right[node]
            total += leaf_value[node]
        out[r] = total


@dataclass(frozen=True)
class TreeEnsemble:
    """A sum of trees. All arrays but `root` have one entry per node.

    Attributes:
        root: First node of each tree, int32, shape (trees,).
        feature: Column compared at the node, int32; -1 at a leaf.
        threshold: float64; 0 at a leaf.
        left: Node to go to when value <= threshold, int32; -1 at a leaf.
        right: Node to go to otherwise.
        default_left: 1 where a missing value goes left, uint8.
        missing: What counts as missing, uint8: 0 nothing (NaN counts as 0), 1 zero and NaN, 2 NaN.
        leaf_value: What the leaf adds to the score, float64; 0 at inner nodes.
        width: Number of feature columns.
    """

    root: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    default_left: np.ndarray
    missing: np.ndarray
    leaf_value: np.ndarray
    width: int

    def __post_init__(self) -> None:
        self.check()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], width: int) -> TreeEnsemble:
        """An ensemble from named arrays.

        Raises:
            BundleError: An array is absent, or they break an invariant.
        """
        absent = [name for name in ARRAYS if name not in arrays]
        if absent:
            raise BundleError(
                f"the trees lack the arrays {', '.join(absent)}", hint="train the model again"
            )
        return cls(**{name: arrays[name] for name in ARRAYS}, width=width)

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name."""
        return {name: getattr(self, name) for name in ARRAYS}

    def score(self, rows: np.ndarray) -> np.ndarray:
        """Raw score of every row: leaf values added in the order of the trees.

        Args:
            rows: float64, shape (rows, width).

        Returns:
            float64, shape (rows,). Time O(rows × trees × depth), no memory but the output.
        """
        rows = np.ascontiguousarray(rows, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise ValueError(f"rows of shape {rows.shape} for trees over {self.width} features")
        out = np.empty(rows.shape[0])
        _score(
            self.root,
            self.feature,
            self.threshold,
            self.left,
            self.right,
            self.default_left,
            self.missing,
            self.leaf_value,
            rows,
            out,
        )
        return out

    def check(self) -> None:
        """Check every invariant that the kernel relies on.

        Raises:
            BundleError: One is broken.
        """
        for name, dtype in ARRAYS.items():
            array = getattr(self, name)
            if array.dtype != dtype or array.ndim != 1 or not array.flags.c_contiguous:
                raise _broken(f"{name} is not a flat {dtype} array")
        nodes = len(self.feature)
        if any(len(getattr(self, name)) != nodes for name in ARRAYS if name != "root"):
            raise _broken("arrays of nodes differ in length")
        if not 0 < self.width < 2**31 or not len(self.root) or self.root[0] != 0:
            raise _broken("no feature or no tree")
        # Compared, not subtracted: a difference of two int32 can wrap around to a positive one.
        if np.any(self.root[1:] <= self.root[:-1]) or self.root[-1] >= nodes:
            raise _broken("roots are not increasing node numbers")
        if np.any(self.feature < -1) or np.any(self.feature >= self.width):
            raise _broken("a node compares a column that doesn't exist")
        if np.any(self.default_left > 1) or np.any(self.missing > MISSING_NAN):
            raise _broken("a node's rule for missing values is unknown")
        leaf = self.feature == -1
        if np.any(np.isnan(self.threshold)) or not np.all(np.isfinite(self.leaf_value)):
            raise _broken("a threshold or a leaf is not a number")
        position = np.arange(nodes)
        end = np.append(self.root[1:], nodes)[
            np.searchsorted(self.root, position, side="right") - 1
        ]
        for child in (self.left, self.right):
            inner = child[~leaf]
            if np.any(inner <= position[~leaf]) or np.any(inner >= end[~leaf]):
                raise _broken("a child does not stand after its parent within its tree")
            if np.any(child[leaf] != -1):
                raise _broken("a leaf has a child")
        parents = np.bincount(
            np.concatenate([self.left[~leaf], self.right[~leaf]]), minlength=nodes
        )
        expected = np.ones(nodes, dtype=np.int64)
        expected[self.root] = 0
        if np.any(parents != expected):
            raise _broken("a node does not have exactly one parent")


ARRAYS: dict[str, np.dtype[np.generic]] = {
    field.name: np.dtype(dtype)
    for field, dtype in zip(
        dataclass_fields(TreeEnsemble)[:-1],
        ("<i4", "<i4", "<f8", "<i4", "<i4", "u1", "u1", "<f8"),
        strict=True,
    )
}
"""Names of an ensemble's arrays with their types."""


def _broken(what: str) -> BundleError:
    return BundleError(f"the trees can't be trusted: {what}", hint="train the model again")
