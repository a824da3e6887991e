"""LightGBM: fit, and export to flat arrays that score to the same bits.

The library is imported inside functions, since it takes more than a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vostok_core.errors import TrainingError
from vostok_core.models.trees import TreeEnsemble

DEFAULTS: Mapping[str, int | float | str | bool] = {
    "num_iterations": 120,
    "learning_rate": 0.03,
    "num_leaves": 8,
    "max_depth": -1,
    "min_data_in_leaf": 40,
    "min_sum_hessian_in_leaf": 1e-3,
    "lambda_l1": 0.0,
    "lambda_l2": 5.0,
    "min_gain_to_split": 0.0,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "max_bin": 63,
    "path_smooth": 0.0,
    "extra_trees": False,
}
"""What a strategy may set under `model.parameters`, and what holds where it doesn't."""

_FIXED: Mapping[str, int | float | str | bool] = {
    "objective": "binary",
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


def resolve_parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults with a strategy's parameters over them.

    Raises:
        TrainingError: One is not among those that may be set.
    """
    unknown = sorted(set(given) - set(DEFAULTS))
    if unknown:
        raise TrainingError(
            f"model.parameters can't set {', '.join(unknown)} for lightgbm",
            hint=f"it can set {', '.join(DEFAULTS)}",
        )
    return {**DEFAULTS, **given}


def fit(
    rows: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    *,
    parameters: Mapping[str, Any],
    seed: int,
) -> TreeEnsemble:
    """Fit trees and export them; the same arguments give the same arrays.

    Args:
        rows: float64, shape (rows, features).
        labels: 0 or 1.
        weights: Sample weights; scaled to a mean of one.
        parameters: As in `resolve_parameters`.
        seed: Of everything random.

    Raises:
        TrainingError: LightGBM refuses, or the export doesn't score to the same bits.
    """
    import lightgbm

    settings = {**resolve_parameters(parameters), **_FIXED, "seed": seed}
    rounds = settings.pop("num_iterations")
    # Python's sum adds in order, so the scale has the same bits on every processor.
    scaled = weights / (sum(weights.tolist()) / len(weights))
    data = lightgbm.Dataset(rows, label=labels, weight=scaled, params=settings)
    try:
        booster = lightgbm.train(settings, data, num_boost_round=rounds)
    except lightgbm.basic.LightGBMError as error:
        raise TrainingError(
            f"LightGBM refuses: {error}", hint="look at model.parameters of the strategy"
        ) from error
    trees = export(booster.model_to_string(num_iteration=-1), rows.shape[1])
    verify(trees, booster, rows)
    return trees


def verify(trees: TreeEnsemble, booster: Any, rows: np.ndarray) -> None:
    """Check that exported trees give the library's own raw scores, bit for bit.

    Raises:
        TrainingError: They don't.
    """
    theirs = np.asarray(booster.predict(rows, raw_score=True, num_threads=1), dtype=np.float64)
    different = int((trees.score(rows).view(np.int64) != theirs.view(np.int64)).sum())
    if different:
        raise TrainingError(
            f"the exported trees score {different} of {len(rows)} rows differently from LightGBM",
            hint="this is a defect of the export for this version of LightGBM: please report it",
        )


def export(text: str, width: int) -> TreeEnsemble:
    """The trees of a LightGBM model text as flat arrays.

    The text prints doubles with 17 digits, so every threshold and leaf is read back exactly.

    Raises:
        TrainingError: The model has something that the arrays can't hold.
    """
    head, *blocks = text.split("end of trees", 1)[0].split("\nTree=")
    if not blocks:
        raise TrainingError("the model has no tree", hint="raise num_iterations")
    if "\naverage_output" in head or "\nnum_tree_per_iteration=1\n" not in head:
        raise TrainingError("only a sum of trees with one output can be exported")
    parts: dict[str, list[np.ndarray]] = {}
    offset = 0
    for block in blocks:
        fields = dict(line.split("=", 1) for line in block.splitlines()[1:] if "=" in line)
        tree = _export_tree(fields, offset)
        for name, array in tree.items():
            parts.setdefault(name, []).append(array)
        offset += len(tree["feature"])
    return TreeEnsemble.from_arrays(
        {name: np.concatenate(arrays) for name, arrays in parts.items()}, width
    )


def _export_tree(fields: Mapping[str, str], offset: int) -> dict[str, np.ndarray]:
    if fields.get("num_cat", "0") != "0" or fields.get("is_linear", "0") != "0":
        raise TrainingError("categorical splits and linear leaves can't be exported")
    leaves = int(fields["num_leaves"])
    inner = leaves - 1

    def column(name: str, dtype: str) -> np.ndarray:
        return np.array(fields[name].split() if inner else [], dtype=dtype)

    def children(name: str) -> np.ndarray:
        child = column(name, "<i4")
        # A leaf k is written as ~k; leaves stand after the inner nodes.
        return np.where(child >= 0, child, inner + ~child) + offset

    def pad(array: np.ndarray, value: float, dtype: str) -> np.ndarray:
        return np.concatenate([array, np.full(leaves, value)]).astype(dtype)

    decision = column("decision_type", "<i4")
    if np.any(decision & 1):
        raise TrainingError("categorical splits can't be exported")
    values = np.array(fields["leaf_value"].split(), dtype="<f8")
    return {
        "root": np.array([offset], dtype="<i4"),
        "feature": pad(column("split_feature", "<i4"), -1, "<i4"),
        "threshold": pad(column("threshold", "<f8"), 0.0, "<f8"),
        "left": pad(children("left_child"), -1, "<i4"),
        "right": pad(children("right_child"), -1, "<i4"),
        "default_left": pad((decision >> 1) & 1, 0, "u1"),
        "missing": pad((decision >> 2) & 3, 0, "u1"),
        "leaf_value": np.concatenate([np.zeros(inner), values]),
    }
