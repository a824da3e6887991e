from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.errors import BundleError, TrainingError
from vostok_core.models.trees import ARRAYS, TreeEnsemble
from vostok_pipelines.training.lightgbm import export, fit, resolve_parameters

WIDTH = 9


def training_set(seed: int, n: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Columns of every kind: normal, with NaN, constant, few values, zeros, heavy tails, tiny."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, WIDTH))
    rows[rng.random(n) < 0.2, 1] = np.nan
    rows[:, 2] = 3.5
    rows[:, 3] = rng.integers(-1, 3, n)
    rows[rng.random(n) < 0.6, 4] = 0.0
    rows[:, 5] = rng.standard_cauchy(n) * 1e6
    rows[:, 6] = np.where(rng.random(n) < 0.3, np.nan, rng.integers(0, 2, n))
    rows[:, 7] = rng.choice([0.0, 1e-36, -1e-36, 2e-35, -2e-35, 1.0], n)
    rows[:, 8] = np.nan
    signal = np.nan_to_num(rows[:, 1]) + rows[:, 3] + (rows[:, 4] == 0) + np.isnan(rows[:, 6])
    return rows, (signal + rng.normal(size=n) > signal.mean()).astype(float)


def hard_rows(trees: TreeEnsemble, seed: int) -> np.ndarray:
    """Rows at, next to and far from every threshold, with NaN, infinities and near-zeros."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(4000, WIDTH)) * 2
    for column in range(WIDTH):
        thresholds = trees.threshold[trees.feature == column]
        if len(thresholds):
            at = rng.choice(thresholds, len(rows))
            beside = np.nextafter(at, rng.choice([-np.inf, np.inf], len(rows)))
            kind = rng.random(len(rows))
            rows[:, column] = np.where(
                kind < 0.4, at, np.where(kind < 0.7, beside, rows[:, column])
            )
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-35, -1e-35, 5e-324, 1e308])
    where = rng.random(rows.shape) < 0.15
    rows[where] = rng.choice(special, int(where.sum()))
    rows[0] = np.nan
    return rows


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"use_missing": False},
        {"zero_as_missing": True},
        {"num_leaves": 127, "min_data_in_leaf": 1, "learning_rate": 0.5},
        {"extra_trees": True, "bagging_fraction": 0.5, "bagging_freq": 1, "max_bin": 1024},
        {"boost_from_average": False, "lambda_l1": 1.0, "path_smooth": 2.0, "max_depth": 3},
    ],
)
def test_scores_are_lightgbms_own_bit_for_bit(parameters: dict) -> None:
    import lightgbm

    rows, labels = training_set(1)
    settings_ = {"objective": "binary", "verbosity": -1, "num_threads": 1, "seed": 3, **parameters}
    booster = lightgbm.train(settings_, lightgbm.Dataset(rows, labels), num_boost_round=80)
    trees = export(booster.model_to_string(), WIDTH)
    assert len(trees.root) == booster.num_trees()
    for data in (rows, hard_rows(trees, 2)):
        theirs = booster.predict(data, raw_score=True)
        np.testing.assert_array_equal(trees.score(data).view(np.int64), theirs.view(np.int64))
        alone = np.array([trees.score(row[None])[0] for row in data[:200]])
        np.testing.assert_array_equal(alone.view(np.int64), theirs[:200].view(np.int64))


def test_a_model_that_found_nothing_to_split_scores_its_constant() -> None:
    trees = fit(np.ones((120, 2)), np.arange(120) % 3 == 0, np.ones(120), parameters={}, seed=1)
    assert len(np.unique(trees.score(np.array([[0.0, 1.0], [np.nan, 5.0]])))) == 1


def test_fitting_twice_gives_the_same_arrays_and_another_seed_others() -> None:
    rows, labels = training_set(4)
    weights = np.random.default_rng(5).uniform(0.1, 1, len(rows))
    first, again, other = (
        fit(rows, labels, weights, parameters={}, seed=seed) for seed in (7, 7, 8)
    )
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.score(rows), other.score(rows))


def test_only_listed_parameters_can_be_set() -> None:
    assert resolve_parameters({"num_leaves": 5})["num_leaves"] == 5
    for name in ("num_threads", "objective", "num_leafs"):
        with pytest.raises(TrainingError, match=name):
            resolve_parameters({name: 1})


def test_what_the_arrays_cannot_hold_is_not_exported() -> None:
    import lightgbm

    rows, labels = training_set(6, 400)
    rows[:, 3] += 1
    base = {"objective": "binary", "verbosity": -1}
    categorical = lightgbm.train(
        base, lightgbm.Dataset(np.nan_to_num(rows), labels, categorical_feature=[3]), 5
    )
    linear = lightgbm.train(
        {**base, "linear_tree": True},
        lightgbm.Dataset(rows, labels, params={"linear_tree": True}),
        5,
    )
    forest = lightgbm.train(
        {**base, "boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1},
        lightgbm.Dataset(rows, labels),
        5,
    )
    for booster in (categorical, linear, forest):
        with pytest.raises(TrainingError, match="export"):
            export(booster.model_to_string(), WIDTH)


@pytest.fixture(scope="module")
def trees() -> TreeEnsemble:
    rows, labels = training_set(8, 500)
    return fit(rows, labels, np.ones(500), parameters={"num_iterations": 5}, seed=1)


@settings(max_examples=300)
@given(data=st.data())
def test_no_damage_to_an_array_can_make_the_scorer_misbehave(trees, data) -> None:
    arrays = {name: array.copy() for name, array in trees.arrays().items()}
    name = data.draw(st.sampled_from(sorted(arrays)))
    position = data.draw(st.integers(0, len(arrays[name]) - 1))
    if arrays[name].dtype.kind == "f":
        arrays[name][position] = data.draw(st.floats())
    else:
        info = np.iinfo(arrays[name].dtype)
        value = data.draw(st.one_of(st.integers(-2, 80), st.integers(info.min, info.max)))
        arrays[name][position] = np.clip(value, info.min, info.max)
    try:
        damaged = TreeEnsemble.from_arrays(arrays, WIDTH)
    except BundleError:
        return
    # What passes the checks is some other, sound, tree.
    assert np.isfinite(damaged.score(np.full((3, WIDTH), np.nan))).all()


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("left", 0, "after its parent"),
        ("right", 10**6, "after its parent"),
        ("feature", WIDTH, "doesn't exist"),
        ("threshold", np.nan, "not a number"),
        ("leaf_value", np.inf, "not a number"),
        ("missing", 3, "missing values"),
        ("default_left", 2, "missing values"),
        ("root", 1, "no tree"),
    ],
)
def test_each_broken_invariant_is_named(trees, name: str, value: float, what: str) -> None:
    arrays = {key: array.copy() for key, array in trees.arrays().items()}
    arrays[name][0] = value
    with pytest.raises(BundleError, match=what):
        TreeEnsemble.from_arrays(arrays, WIDTH)


def test_a_root_so_low_that_its_distance_wraps_around_is_found(trees) -> None:
    arrays = {key: array.copy() for key, array in trees.arrays().items()}
    arrays["root"][-1] = np.iinfo(np.int32).min
    with pytest.raises(BundleError, match="roots are not increasing"):
        TreeEnsemble.from_arrays(arrays, WIDTH)


def test_two_parents_of_one_node_are_found(trees) -> None:
    arrays = {key: array.copy() for key, array in trees.arrays().items()}
    arrays["left"][0] = arrays["right"][0]
    with pytest.raises(BundleError, match="one parent"):
        TreeEnsemble.from_arrays(arrays, WIDTH)


def test_arrays_of_another_type_or_length_or_none_are_refused(trees) -> None:
    arrays = trees.arrays()
    with pytest.raises(BundleError, match="flat float64"):
        TreeEnsemble.from_arrays({**arrays, "threshold": arrays["threshold"].astype("f4")}, WIDTH)
    with pytest.raises(BundleError, match="differ in length"):
        TreeEnsemble.from_arrays({**arrays, "missing": arrays["missing"][:-1]}, WIDTH)
    with pytest.raises(BundleError, match="lack the arrays left"):
        TreeEnsemble.from_arrays({k: v for k, v in arrays.items() if k != "left"}, WIDTH)


def test_rows_of_another_width_are_refused(trees) -> None:
    with pytest.raises(ValueError, match="over 9 features"):
        trees.score(np.zeros((2, WIDTH - 1)))
