"""The manifest of a bundle: what a model is, what it was made of, and what it needs to be used."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vostok_core.errors import BundleError, UnknownName
from vostok_core.features.registry import pack
from vostok_core.lake.address import Place

SCHEMA_VERSION = 1
MANIFEST, SEAL = "manifest.json", "manifest.sha256"
AGAIN = (
    "run `vostok materialize STRATEGY/promotion --instrument ID --from WEEK --to WEEK` for the "
    "week that it was promoted in, and don't edit bundles"
)
"""Hint for a bundle that can't be trusted, where its folder doesn't say whose it is."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrainingSpan(_Part):
    """What a model was trained on. Times are microseconds UTC."""

    start: int = Field(description="decisions before this were not looked at")
    cutoff: int = Field(description="labels that ended at or after this were not looked at")
    first_ts: int = Field(description="first decision used")
    last_label_end: int = Field(description="newest label end used")
    labels: int = Field(description="usable labels in the window")
    fitted: int = Field(description="labels the trees were fitted on")
    purged: int = Field(description="labels left out since they share time with the calibration's")
    calibrated: int = Field(description="labels the calibration was fitted on")
    days_without_data: tuple[str, ...] = Field(description="days in the window that had no bars")


class Manifest(_Part):
    """The content of manifest.json."""

    schema_version: int
    strategy: str
    configuration: str = Field(description="hash that names the configuration as a trial")
    settings: dict[str, Any] = Field(description="the strategy file, defaults filled in")
    instrument: str
    week: str
    interval: str
    training: TrainingSpan
    family: str
    features: tuple[str, ...] = Field(min_length=1, description="columns, in the order scored")
    packs: dict[str, str] = Field(description="hash of every pack the columns come from")
    calibration: Literal["sigmoid", "isotonic"]
    threshold: float = Field(description="probability above which a decision trades")
    mean_win: float = Field(description="mean net return of the window's winning labels")
    mean_loss: float = Field(description="mean net loss of its other labels, as a positive number")
    inputs: dict[str, str] = Field(description="content hashes of what it was made from")
    platform: dict[str, str]
    versions: dict[str, str]
    files: dict[str, str] = Field({}, description="SHA-256 of every other file")


def again(place: Place) -> str:
    """Hint for a bundle that can't be trusted.

    Args:
        place: Its folder, or a file in it. That of a week's model names strategy, instrument, week.
    """
    command = make_of_week("model", place)
    return AGAIN if command is None else f"run {command} again, and don't edit bundles"


def make_of_week(asset: str, place: Place) -> str | None:
    """The command that makes an asset of the week that a bundle is of; None where its folder
    doesn't say which."""
    keys = dict(part.split("=", 1) for part in place.parts if "=" in part)
    if not {"strategy", "instrument", "week"} <= keys.keys():
        return None
    return (
        f"`vostok materialize {keys['strategy']}/{asset} --instrument {keys['instrument']} "
        f"--from {keys['week']} --to {keys['week']}`"
    )


def sha256_of(content: bytes) -> str:
    """SHA-256 (hex) of a file's content."""
    return hashlib.sha256(content).hexdigest()


def manifest_bytes(manifest: Manifest) -> bytes:
    """The content of manifest.json: the one way to write a manifest, since its hash is a name."""
    content = manifest.model_dump(mode="json")
    return (json.dumps(content, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def parse_manifest(content: bytes, folder: Place) -> Manifest:
    """The manifest of the bundle in `folder`.

    Raises:
        BundleError: It doesn't read, or is of a newer schema.
    """
    where = folder / MANIFEST
    try:
        raw = json.loads(content)
        version = int(raw["schema_version"])
    except (ValueError, KeyError, TypeError):
        raise BundleError("the manifest doesn't read", where=where, hint=again(where)) from None
    if version > SCHEMA_VERSION:
        raise BundleError(
            f"the bundle has schema {version} and this Vostok knows up to {SCHEMA_VERSION}",
            where=where,
            hint="update Vostok, or train the model with this version",
        )
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise BundleError(
            f"the manifest can't be used: {place}: {problem['msg']}", where=where, hint=again(where)
        ) from None


def check_packs(manifest: Manifest, folder: Place) -> None:
    """Check that the features are those that the model was trained on.

    Raises:
        BundleError: A pack is not registered or has changed, or none declares a feature.
    """
    known: list[str] = []
    for name, expected in manifest.packs.items():
        try:
            declared = pack(name)
        except UnknownName as error:
            raise BundleError(
                f"it was trained on the feature pack {name!r}, which is not registered here",
                where=folder,
                hint=error.hint,
            ) from None
        if declared.hash != expected:
            raise BundleError(
                f"the feature pack {name!r} has changed since the model was trained",
                where=folder,
                hint=f"run `vostok materialize features/{name} --instrument {manifest.instrument} "
                "--from DAY --to DAY` for its days, then "
                f"`vostok walk-forward {manifest.strategy} --instrument {manifest.instrument} "
                "--from WEEK --to WEEK`",
            )
        known += declared.columns
    absent = [name for name in manifest.features if name not in known]
    if absent or len(set(manifest.features)) != len(manifest.features):
        raise BundleError(
            f"no pack of it declares {', '.join(absent[:5])}" if absent else "a feature is doubled",
            where=folder,
            hint=again(folder),
        )
