"""A small bundle over the features of the pack `core`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vostok_core.features.registry import pack
from vostok_core.models.bundle import Bundle, golden_rows
from vostok_core.models.calibration import fit_calibration
from vostok_core.models.fingerprint import fingerprint
from vostok_core.models.manifest import SCHEMA_VERSION, Manifest, TrainingSpan
from vostok_core.models.trees import TreeEnsemble
from vostok_pipelines.training.lightgbm import fit

FEATURES = pack("core").columns[:6]


def manifest_of(**changes: object) -> Manifest:
    span = TrainingSpan(
        start=0,
        cutoff=1000,
        first_ts=0,
        last_label_end=999,
        labels=400,
        fitted=300,
        purged=2,
        calibrated=98,
        days_without_data=(),
    )
    content: dict[str, object] = {
        "schema_version": SCHEMA_VERSION,
        "strategy": "alpha",
        "configuration": "c0ffee",
        "settings": {"interval": "1m", "share": 0.1},
        "instrument": "test.spot.AAA-USD",
        "week": "2024-03-04",
        "interval": "1m",
        "training": span,
        "family": "lightgbm",
        "features": FEATURES,
        "packs": {"core": pack("core").hash},
        "calibration": "sigmoid",
        "threshold": 0.1 + 0.2,
        "mean_win": 0.01,
        "mean_loss": 0.02,
        "inputs": {"labels": "0" * 64},
        "platform": fingerprint(),
        "versions": {"numpy": "2"},
    }
    return Manifest.model_validate({**content, **changes})


@pytest.fixture(scope="session")
def fitted() -> tuple[np.ndarray, np.ndarray, TreeEnsemble]:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, len(FEATURES)))
    rows[rng.random(rows.shape) < 0.05] = np.nan
    labels = (np.nan_to_num(rows[:, 0]) + rng.normal(size=400) > 0).astype(float)
    trees = fit(rows, labels, np.ones(400), parameters={"num_iterations": 20}, seed=1)
    return rows, labels, trees


@pytest.fixture(scope="session")
def bundle_of(fitted) -> Callable[..., Bundle]:
    """Makes a bundle; keyword arguments change its manifest."""
    rows, labels, trees = fitted

    def make(attachments: dict[str, bytes] | None = None, **changes: object) -> Bundle:
        manifest = manifest_of(**changes)
        calibration = fit_calibration(manifest.calibration, trees.score(rows), labels)
        return Bundle.assemble(manifest, trees, calibration, golden_rows(rows, trees), attachments)

    return make
