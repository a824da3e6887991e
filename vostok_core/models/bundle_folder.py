"""The folder of a bundle: written whole, and trusted only when everything in it fits.

    manifest.json     what the model is, was made of, and the SHA-256 of every other file
    manifest.sha256   the SHA-256 of manifest.json
    arrays.npz        trees and calibration
    golden.npz        feature rows with the scores and probabilities they must give
    gate.json         in the copy of a bundle that was promoted: the decision that promoted it
    gate.sha256       the SHA-256 of gate.json

A bundle is put in place as a whole (`folders`). Loading it reads every file once, checks every
hash, then that the feature packs are the ones it was trained on, then that the golden rows score to
the same bits; only then is there a `Bundle`.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import numpy as np

from vostok_core.errors import BundleError
from vostok_core.lake.address import Place
from vostok_core.models.bundle import (
    ARRAYS_FILE,
    GOLDEN_FILE,
    GOLDEN_ROWS,
    Bundle,
    unpack_arrays,
)
from vostok_core.models.calibration import Calibration
from vostok_core.models.fingerprint import fingerprint
from vostok_core.models.folders import Files, put_files, read_files
from vostok_core.models.manifest import (
    AGAIN,
    MANIFEST,
    SEAL,
    Manifest,
    again,
    check_packs,
    make_of_week,
    manifest_bytes,
    parse_manifest,
    sha256_of,
)
from vostok_core.models.trees import ARRAYS, TreeEnsemble

GATE, GATE_SEAL = "gate.json", "gate.sha256"
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def write_bundle(folder: Place, bundle: Bundle) -> str:
    """Write a bundle to `folder`, whole, in place of an older one.

    Returns:
        SHA-256 of its manifest.

    Raises:
        BundleError: It would not load.
    """
    put_files(folder, bundle.files(), check=lambda files: _load(files, folder))
    return bundle.sha256


def keep_bundle(source: Place, target: Place, *, sha256: str, gate: bytes) -> None:
    """Copy a bundle byte for byte, whole, after verifying it, and lay its gate report beside it.

    The manifest does not cover the report, since it names the model that the report is about; the
    report has a seal of its own.

    Raises:
        BundleError: The source is not the bundle with that manifest, or can't be trusted.
    """
    report = {GATE: gate, GATE_SEAL: f"{sha256_of(gate)}\n".encode()}
    files = _verified(_read(source), source, sha256)[1] | report
    put_files(target, files, check=lambda files: _load_kept(files, target))


def load_kept(folder: Place, *, sha256: str | None = None) -> tuple[Bundle, bytes]:
    """Read and verify a bundle that was kept, and its gate report.

    Raises:
        BundleError: As in `load_bundle`, or the gate report is absent or altered.
    """
    return _load_kept(_read(folder), folder, sha256)


def load_bundle(folder: Place, *, sha256: str | None = None, kept: bool = False) -> Bundle:
    """Read and verify a bundle.

    Args:
        folder: Where it is.
        sha256: What its manifest must hash to, where that is known.
        kept: It may have a gate report beside it, which is left to `load_kept`.

    Raises:
        BundleError: It is absent, incomplete, altered, of a newer schema, made of packs that are
            unknown here or have changed, or does not reproduce its golden rows.
    """
    return _load(_read(folder), folder, sha256, (GATE, GATE_SEAL) if kept else ())


def read_manifest(folder: Place) -> tuple[Manifest, str]:
    """The manifest of a bundle and its hash, for what it was made of; the rest is not looked at.

    Raises:
        BundleError: It is absent, does not match its seal, or doesn't read.
    """
    files = read_files(folder, MANIFEST, SEAL) or {}
    content, seal = files.get(MANIFEST), files.get(SEAL)
    if content is None or seal is None:
        raise BundleError(f"{MANIFEST} or {SEAL} is missing", where=folder, hint=again(folder))
    sha256 = sha256_of(content)
    if seal != f"{sha256}\n".encode():
        raise BundleError(f"{MANIFEST} does not match {SEAL}", where=folder, hint=again(folder))
    return parse_manifest(content, folder), sha256


def _read(folder: Place) -> Files:
    files = read_files(folder)
    if files is None:
        command = make_of_week("model", folder)
        raise BundleError(
            "there is no bundle",
            where=folder,
            hint=AGAIN if command is None else f"run {command} first",
        )
    return files


def _load_kept(found: Files, folder: Place, sha256: str | None = None) -> tuple[Bundle, bytes]:
    bundle = _load(found, folder, sha256, (GATE, GATE_SEAL))
    report, seal = found.get(GATE), found.get(GATE_SEAL)
    if report is None or seal is None:
        raise BundleError(f"{GATE} or {GATE_SEAL} is missing", where=folder, hint=again(folder))
    if seal != f"{sha256_of(report)}\n".encode():
        raise BundleError(f"{GATE} does not match {GATE_SEAL}", where=folder, hint=again(folder))
    return bundle, report


def _load(
    found: Files, folder: Place, sha256: str | None = None, beside: Collection[str] = ()
) -> Bundle:
    manifest, files = _verified(found, folder, sha256, beside)
    check_packs(manifest, folder)
    arrays = unpack_arrays(files[ARRAYS_FILE], folder / ARRAYS_FILE)
    golden = unpack_arrays(files[GOLDEN_FILE], folder / GOLDEN_FILE)
    expected = {*ARRAYS, "calibration_x", "calibration_y"}
    if set(arrays) != expected or set(golden) != {"rows", "scores", "probabilities"}:
        raise BundleError("the arrays are not those of a model", where=folder, hint=again(folder))
    try:
        trees = TreeEnsemble.from_arrays(arrays, len(manifest.features))
        calibration = Calibration.from_arrays(manifest.calibration, arrays)
    except BundleError as error:
        raise BundleError(error.what, where=folder, hint=again(folder)) from None
    extra = {k: v for k, v in files.items() if k not in {MANIFEST, SEAL, ARRAYS_FILE, GOLDEN_FILE}}
    bundle = Bundle(manifest, trees, calibration, golden, extra)
    _check_golden(bundle, folder)
    if manifest_bytes(bundle.manifest) != files[MANIFEST]:
        # A model's name is the hash of these bytes, so there may be only one way to write them.
        raise BundleError(
            "the manifest was not written by Vostok", where=folder, hint=again(folder)
        )
    return bundle


def _verified(
    found: Files, folder: Place, sha256: str | None, beside: Collection[str] = ()
) -> tuple[Manifest, dict[str, bytes]]:
    """The files of a bundle whose hashes all agree, less those `beside` it."""
    present = {name: content for name, content in found.items() if name not in beside}
    files = {
        name: content
        for name, content in present.items()
        if content is not None and _FILE_NAME.fullmatch(name)
    }
    strange = sorted(present.keys() - files.keys())
    if strange:
        raise BundleError(
            f"{strange[0]!r} does not belong in a bundle", where=folder, hint=again(folder)
        )
    for name in (MANIFEST, SEAL):
        if name not in files:
            raise BundleError(f"{name} is missing", where=folder, hint=again(folder))
    named = sha256_of(files[MANIFEST])
    if files[SEAL] != f"{named}\n".encode():
        raise BundleError(f"{MANIFEST} does not match {SEAL}", where=folder, hint=again(folder))
    if sha256 is not None and named != sha256:
        command = make_of_week("promotion", folder)
        raise BundleError(
            f"this is the bundle {named[:12]}, and {sha256[:12]} was asked for",
            where=folder,
            hint=AGAIN if command is None else f"run {command} if it is what you mean",
        )
    manifest = parse_manifest(files[MANIFEST], folder)
    listed = {*manifest.files, MANIFEST, SEAL}
    wrong = next((name for name in manifest.files if not _FILE_NAME.fullmatch(name)), None)
    if wrong is not None:
        raise BundleError(
            f"its list of files can't be meant ({wrong!r})",
            where=folder / MANIFEST,
            hint=again(folder),
        )
    if not {ARRAYS_FILE, GOLDEN_FILE} <= listed:
        raise BundleError(
            "its list of files is incomplete", where=folder / MANIFEST, hint=again(folder)
        )
    for name in sorted(listed ^ set(files)):
        what = "is missing" if name in listed else "is not in the manifest"
        raise BundleError(f"{name} {what}", where=folder, hint=again(folder))
    for name, expected in manifest.files.items():
        if sha256_of(files[name]) != expected:
            raise BundleError(f"{name} was altered", where=folder, hint=again(folder))
    return manifest, files


def _check_golden(bundle: Bundle, folder: Place) -> None:
    rows, scores, probabilities = (
        bundle.golden[name] for name in ("rows", "scores", "probabilities")
    )
    if (
        any(array.dtype != np.dtype("<f8") for array in (rows, scores, probabilities))
        or rows.ndim != 2
        or rows.shape[1] != bundle.trees.width
        or len(rows) < GOLDEN_ROWS
        or scores.shape != probabilities.shape
        or scores.shape != rows.shape[:1]
    ):
        raise BundleError(
            "the golden rows are not rows of the model", where=folder, hint=again(folder)
        )
    found = bundle.predict(rows)
    if all(a.tobytes() == b.tobytes() for a, b in zip(found, (scores, probabilities), strict=True)):
        return
    here, there = fingerprint(), bundle.manifest.platform
    other = sorted(k for k in {*here, *there} if here.get(k) != there.get(k))
    raise BundleError(
        "the golden rows don't give the bits they gave when the model was trained",
        where=folder,
        hint=f"this platform differs in {', '.join(other)}: train the model here"
        if other
        else again(folder),
    )
