"""Where bundles lie in the lake, and which one is in service.

models/strategy=…/instrument=…/week=…/bundle/   the week's model, made again when it is retrained
models/bundles/<manifest sha256>/               promoted models, which never change, and why
models/promoted/<strategy>/<instrument>         a JSON file: which of those is in service
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from vostok_core.errors import BundleError
from vostok_core.lake.atomic import replacing
from vostok_core.lake.locks import sole_writer
from vostok_core.lake.store import Lake
from vostok_core.models.bundle import Bundle
from vostok_core.models.bundle_folder import keep_bundle, load_bundle, load_kept


@dataclass(frozen=True)
class Promotion:
    """What the pointer says: the bundle's folder, relative to the lake, its hash and week."""

    strategy: str
    instrument: str
    week: str
    bundle: str
    manifest_sha256: str


def bundle_path(lake: Lake, strategy: str, instrument: str, week: date) -> Path:
    """The folder of a week's bundle."""
    return (
        lake.root
        / "models"
        / f"strategy={strategy}"
        / f"instrument={instrument}"
        / f"week={week}"
        / "bundle"
    )


def pointer_path(lake: Lake, strategy: str, instrument: str) -> Path:
    """The file that names the bundle in service."""
    return lake.root / "models" / "promoted" / strategy / instrument


def keep(
    lake: Lake, strategy: str, instrument: str, week: date, *, sha256: str, gate: bytes
) -> Promotion:
    """Copy the week's bundle, with its gate report, to where retraining does not reach.

    Nothing enters service by it; `put_in_service` takes what it returns. Doing it again changes
    nothing but the report.

    Args:
        lake: The lake.
        strategy: Name of the strategy.
        instrument: Name of the instrument.
        week: The bundle's Monday.
        sha256: The manifest hash of the bundle that was judged.
        gate: The report of the decision, JSON.

    Raises:
        BundleError: The bundle is absent, can't be trusted, or is another's.
    """
    source = bundle_path(lake, strategy, instrument, week)
    bundle = load_bundle(source, sha256=sha256)
    again = _materialize("model", strategy, instrument, week)
    _check_owner(bundle, strategy, instrument, source, again)
    if bundle.manifest.week != str(week):
        raise BundleError(
            f"the bundle is of week {bundle.manifest.week}, not of {week}",
            where=source,
            hint=again,
        )
    kept = lake.root / "models" / "bundles" / sha256
    keep_bundle(source, kept, sha256=sha256, gate=gate)
    return Promotion(
        strategy, instrument, str(week), kept.relative_to(lake.root).as_posix(), sha256
    )


def put_in_service(lake: Lake, found: Promotion) -> bool:
    """Point at a kept bundle, unless one of a later week is in service.

    Args:
        lake: The lake.
        found: What `keep` returned.

    Returns:
        Whether it is in service now.

    Raises:
        BundleError: The pointer that is there doesn't read.
    """
    with changing_service(lake, found.strategy, found.instrument):
        if not may_enter(lake, found.strategy, found.instrument, found.week):
            return False
        with replacing(pointer_path(lake, found.strategy, found.instrument)) as temporary:
            temporary.write_text(json.dumps(asdict(found), sort_keys=True, indent=1) + "\n")
    return True


def changing_service(lake: Lake, strategy: str, instrument: str) -> AbstractContextManager[None]:
    """For the time of a block, nobody else changes what is in service: what `may_enter` said in it
    stays true."""
    return sole_writer(pointer_path(lake, strategy, instrument))


def may_enter(lake: Lake, strategy: str, instrument: str, week: date | str) -> bool:
    """Whether no bundle of a later week is in service: deciding an old week anew changes nothing.

    Raises:
        BundleError: The pointer doesn't read.
    """
    current = promotion(lake, strategy, instrument)
    return current is None or date.fromisoformat(current.week) <= date.fromisoformat(str(week))


def promotion(lake: Lake, strategy: str, instrument: str) -> Promotion | None:
    """What the pointer says, or None when nothing is in service.

    Raises:
        BundleError: The pointer doesn't read, or points out of the lake's models.
    """
    pointer = pointer_path(lake, strategy, instrument)
    try:
        text = pointer.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _bad_pointer(pointer, str(error)) from None
    try:
        found = Promotion(**json.loads(text))
        date.fromisoformat(found.week)
    except (ValueError, TypeError) as error:
        raise _bad_pointer(pointer, str(error)) from None
    if found.bundle != f"models/bundles/{found.manifest_sha256}" or not _is_hash(
        found.manifest_sha256
    ):
        raise _bad_pointer(pointer, f"{found.bundle!r} is not a promoted bundle")
    return found


def promoted(lake: Lake, strategy: str, instrument: str) -> Bundle | None:
    """The verified bundle in service, or None.

    Raises:
        BundleError: The pointer or the bundle can't be trusted.
    """
    found = promotion(lake, strategy, instrument)
    if found is None:
        return None
    folder = lake.root / found.bundle
    bundle, _ = load_kept(folder, sha256=found.manifest_sha256)
    again = _materialize("promotion", strategy, instrument, found.week)
    _check_owner(bundle, strategy, instrument, folder, again)
    return bundle


def _check_owner(bundle: Bundle, strategy: str, instrument: str, where: Path, hint: str) -> None:
    if (bundle.manifest.strategy, bundle.manifest.instrument) != (strategy, instrument):
        raise BundleError(
            f"the bundle is of {bundle.manifest.strategy} on {bundle.manifest.instrument}, "
            f"not of {strategy} on {instrument}",
            where=where,
            hint=hint,
        )


def _is_hash(text: object) -> bool:
    return isinstance(text, str) and len(text) == 64 and set(text) <= set("0123456789abcdef")


def _materialize(asset: str, strategy: str, instrument: str, week: date | str) -> str:
    return (
        f"run `vostok materialize {strategy}/{asset} --instrument {instrument} "
        f"--from {week} --to {week}`"
    )


def _bad_pointer(pointer: Path, why: str) -> BundleError:
    again = _materialize("promotion", pointer.parent.name, pointer.name, "WEEK")
    return BundleError(
        f"the pointer to the bundle in service doesn't read ({why})",
        where=pointer,
        hint=f"delete it, then {again} for the week that was in service",
    )
