"""A bundle: a trained model, and everything needed to trust it.

`manifest` says what it is and `bundle_folder` keeps it on disk, verified. The same parts give the
same bytes.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from vostok_core.errors import BundleError
from vostok_core.lake.address import Place
from vostok_core.models.calibration import Calibration
from vostok_core.models.manifest import MANIFEST, SEAL, Manifest, again, manifest_bytes, sha256_of
from vostok_core.models.trees import TreeEnsemble
from vostok_core.times import utc

GOLDEN_ROWS = 64
ARRAYS_FILE, GOLDEN_FILE = "arrays.npz", "golden.npz"


@dataclass(frozen=True)
class Bundle:
    """A model that can be trusted as far as its bundle goes.

    Attributes:
        manifest: What it is.
        trees: Scores rows.
        calibration: Turns scores into probabilities.
        golden: `rows`, `scores` and `probabilities` that it must reproduce bit for bit.
        attachments: Further files by name, such as a report.
    """

    manifest: Manifest
    trees: TreeEnsemble
    calibration: Calibration
    golden: Mapping[str, np.ndarray]
    attachments: Mapping[str, bytes]

    @classmethod
    def assemble(
        cls,
        manifest: Manifest,
        trees: TreeEnsemble,
        calibration: Calibration,
        golden_rows: np.ndarray,
        attachments: Mapping[str, bytes] | None = None,
    ) -> Bundle:
        """A bundle from its parts; scores the golden rows and fills in the hashes of the files."""
        scores = trees.score(golden_rows)
        golden = {
            "rows": np.ascontiguousarray(golden_rows, dtype=np.float64),
            "scores": scores,
            "probabilities": calibration.probability(scores),
        }
        bundle = cls(manifest, trees, calibration, golden, dict(attachments or {}))
        hashes = {name: sha256_of(content) for name, content in bundle._contents().items()}
        sealed = manifest.model_copy(update={"files": hashes})
        return cls(sealed, trees, calibration, golden, bundle.attachments)

    @property
    def sha256(self) -> str:
        """Hash of the manifest, and through it of everything: the model's name."""
        return sha256_of(manifest_bytes(self.manifest))

    def summary(self) -> dict[str, str | int | float]:
        """What a person wants to know of it at a glance."""
        m, span = self.manifest, self.manifest.training
        return {
            "manifest_sha256": self.sha256,
            "configuration": m.configuration,
            "labels": span.labels,
            "fitted": span.fitted,
            "purged": span.purged,
            "calibrated": span.calibrated,
            "first_decision": f"{utc(span.first_ts):%Y-%m-%d %H:%M}",
            "last_label_end": f"{utc(span.last_label_end):%Y-%m-%d %H:%M:%S}",
            "features": len(m.features),
            "trees": len(self.trees.root),
            "nodes": len(self.trees.feature),
            "threshold": m.threshold,
            "mean_win_bps": m.mean_win * 1e4,
            "mean_loss_bps": m.mean_loss * 1e4,
        }

    def select(self, features: pl.DataFrame) -> np.ndarray:
        """The model's columns of a frame, in its order: float64, shape (rows, features).

        Raises:
            BundleError: The frame lacks one.
        """
        absent = [name for name in self.manifest.features if name not in features.columns]
        if absent:
            raise BundleError(
                f"the features lack {', '.join(absent[:5])}, which the model was trained on",
                hint="run `vostok materialize features --instrument "
                f"{self.manifest.instrument} --from DAY --to DAY` for its days",
            )
        columns = [features[name].to_numpy() for name in self.manifest.features]
        return np.ascontiguousarray(np.column_stack(columns), dtype=np.float64)

    def predict(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Raw scores and calibrated probabilities.

        Args:
            rows: float64, shape (rows, features), columns as in the manifest.

        Returns:
            (score, probability), each float64 of shape (rows,).
        """
        scores = self.trees.score(rows)
        return scores, self.calibration.probability(scores)

    def files(self) -> dict[str, bytes]:
        """Every file of the folder, by name."""
        manifest = manifest_bytes(self.manifest)
        return {
            MANIFEST: manifest,
            SEAL: f"{sha256_of(manifest)}\n".encode(),
            **self._contents(),
        }

    def _contents(self) -> dict[str, bytes]:
        return {
            ARRAYS_FILE: pack_arrays({**self.trees.arrays(), **self.calibration.arrays()}),
            GOLDEN_FILE: pack_arrays(self.golden),
            **self.attachments,
        }


def golden_rows(rows: np.ndarray, trees: TreeEnsemble) -> np.ndarray:
    """Rows that a bundle must reproduce: real ones, ties at thresholds, and missing values.

    Args:
        rows: Training rows, at least one; 64 of them, evenly spread, are taken.
        trees: The trees; per column, the least and the greatest threshold make two rows.

    Returns:
        float64, shape (at least 64, width).
    """
    width = trees.width
    chosen = rows[np.linspace(0, len(rows) - 1, GOLDEN_ROWS).astype(np.int64)]
    pierced = chosen[:16].copy()
    for i in range(len(pierced)):
        pierced[i, i % width :: 16] = np.nan
    ties = np.zeros((2, width))
    for column in range(width):
        thresholds = trees.threshold[trees.feature == column]
        if len(thresholds):
            ties[:, column] = thresholds.min(), thresholds.max()
    extremes = np.full((4, width), np.nan)
    extremes[1:] = np.array([[0.0], [np.inf], [-np.inf]])
    return np.ascontiguousarray(np.vstack([chosen, pierced, ties, extremes]))


def pack_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An npz archive whose bytes depend on nothing but the arrays."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(
                    file, np.ascontiguousarray(arrays[name]), version=(1, 0), allow_pickle=False
                )
    return buffer.getvalue()


def unpack_arrays(content: bytes, where: Place) -> dict[str, np.ndarray]:
    """The arrays that `pack_arrays` packed.

    Raises:
        BundleError: They don't read; `where` is said in the error.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise BundleError(
            f"the arrays don't read ({error})", where=where, hint=again(where)
        ) from None
