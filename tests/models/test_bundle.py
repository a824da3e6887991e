from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from vostok_core.errors import BundleError
from vostok_core.features.registry import pack
from vostok_core.models.bundle_folder import keep_bundle, load_bundle, write_bundle

NAMES = ("manifest.json", "manifest.sha256", "arrays.npz", "golden.npz")


def write_raw(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def resealed(content: dict[str, bytes], /, **changes: object) -> dict[str, bytes]:
    """A forger's work: a changed manifest whose seal fits."""
    manifest = {**json.loads(content["manifest.json"]), **changes}
    text = (json.dumps(manifest, sort_keys=True, indent=1) + "\n").encode()
    seal = f"{hashlib.sha256(text).hexdigest()}\n".encode()
    return {**content, "manifest.json": text, "manifest.sha256": seal}


@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic"])
def test_a_bundle_comes_back_as_it_was_written(
    tmp_path, bundle_of, fitted, calibration: str
) -> None:
    written = bundle_of({"note.txt": b"hello"}, calibration=calibration)
    sha256 = write_bundle(tmp_path / "bundle", written)
    assert sha256 == written.sha256
    assert hashlib.sha256((tmp_path / "bundle/manifest.json").read_bytes()).hexdigest() == sha256
    read = load_bundle(tmp_path / "bundle", sha256=sha256)
    assert read.manifest == written.manifest
    assert read.manifest.threshold == 0.1 + 0.2
    assert read.sha256 == sha256
    assert read.attachments == {"note.txt": b"hello"}
    for ours, theirs in zip(read.predict(fitted[0]), written.predict(fitted[0]), strict=True):
        np.testing.assert_array_equal(ours.view(np.int64), theirs.view(np.int64))
    assert sorted(p.name for p in tmp_path.iterdir()) == [".bundle.lock", "bundle"]


def test_the_same_parts_give_the_same_bytes(bundle_of) -> None:
    first = bundle_of().files()
    time.sleep(1.1)  # a clock in the bytes would show
    assert bundle_of().files() == first


def test_golden_rows_hold_missing_values_and_infinities(bundle_of) -> None:
    rows = bundle_of().golden["rows"]
    assert len(rows) >= 64
    assert np.isnan(rows).all(axis=1).any()
    assert (np.isnan(rows).any(axis=1) & ~np.isnan(rows).all(axis=1)).sum() >= 16
    assert np.isposinf(rows).any()


def test_any_single_byte_changed_in_any_file_is_noticed(tmp_path, bundle_of) -> None:
    files = bundle_of({"note.txt": b"hello"}).files()
    rng = np.random.default_rng(1)
    for name, content in files.items():
        spots = rng.choice(len(content), min(len(content), 25), replace=False)
        for spot in {0, len(content) - 1, *map(int, spots)}:
            damaged = bytearray(content)
            damaged[spot] ^= 1 << int(rng.integers(8))
            folder = write_raw(tmp_path / f"{name}-{spot}", {**files, name: bytes(damaged)})
            with pytest.raises(BundleError):
                load_bundle(folder)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_or_cut_file_is_named(tmp_path, bundle_of, name: str) -> None:
    files = bundle_of().files()
    lacking = {k: v for k, v in files.items() if k != name}
    with pytest.raises(BundleError, match=rf"{name} is missing"):
        load_bundle(write_raw(tmp_path / "lacking", lacking))
    cut = {**files, name: files[name][: len(files[name]) // 2]}
    with pytest.raises(BundleError):
        load_bundle(write_raw(tmp_path / "cut", cut))


def test_a_file_that_nobody_listed_is_refused(tmp_path, bundle_of) -> None:
    files = bundle_of().files()
    with pytest.raises(BundleError, match=r"extra\.bin is not in the manifest"):
        load_bundle(write_raw(tmp_path / "a", {**files, "extra.bin": b"x"}))
    folder = write_raw(tmp_path / "b", files)
    (folder / "nested").mkdir()
    with pytest.raises(BundleError, match="'nested' does not belong"):
        load_bundle(folder)


def test_a_link_in_place_of_a_file_is_refused(tmp_path, bundle_of) -> None:
    files = bundle_of().files()
    folder = write_raw(tmp_path / "a", files)
    (folder / "arrays.npz").rename(tmp_path / "elsewhere.npz")
    (folder / "arrays.npz").symlink_to(tmp_path / "elsewhere.npz")
    with pytest.raises(BundleError, match=r"arrays.npz' does not belong"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", ".hidden", "a/b", "", "x" * 200])
def test_a_manifest_cannot_reach_out_of_its_folder(tmp_path, bundle_of, name: str) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    bundle = bundle_of()
    listed = {**bundle.manifest.files, name: hashlib.sha256(b"x").hexdigest()}
    folder = write_raw(tmp_path / "bundle", resealed(bundle.files(), files=listed))
    with pytest.raises(BundleError, match="list of files can't be meant"):
        load_bundle(folder)


def test_an_incomplete_list_is_refused(tmp_path, bundle_of) -> None:
    bundle = bundle_of()
    listed = {k: v for k, v in bundle.manifest.files.items() if k != "golden.npz"}
    with pytest.raises(BundleError, match="incomplete"):
        load_bundle(write_raw(tmp_path / "b", resealed(bundle.files(), files=listed)))


def test_another_bundle_than_the_one_asked_for_is_refused(tmp_path, bundle_of) -> None:
    write_bundle(tmp_path / "bundle", bundle_of())
    with pytest.raises(BundleError, match="was asked for"):
        load_bundle(tmp_path / "bundle", sha256="0" * 64)


def test_a_newer_schema_is_refused_with_the_remedy(tmp_path, bundle_of) -> None:
    folder = write_raw(tmp_path / "b", resealed(bundle_of().files(), schema_version=99))
    with pytest.raises(BundleError, match="update Vostok"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "changes",
    [{"surprise": 1}, {"threshold": "high"}, {"features": []}, {"calibration": "spline"}],
)
def test_a_manifest_that_cannot_be_meant_is_refused(tmp_path, bundle_of, changes: dict) -> None:
    folder = write_raw(tmp_path / "b", resealed(bundle_of().files(), **changes))
    with pytest.raises(BundleError, match="can't be used"):
        load_bundle(folder)


def test_a_pack_that_changed_or_is_unknown_is_refused(tmp_path, bundle_of) -> None:
    files = bundle_of().files()
    changed = write_raw(tmp_path / "a", resealed(files, packs={"core": "0" * 64}))
    with pytest.raises(BundleError, match="'core' has changed"):
        load_bundle(changed)
    unknown = write_raw(tmp_path / "b", resealed(files, packs={"corr": pack("core").hash}))
    with pytest.raises(BundleError, match=r"not registered here.*core"):
        load_bundle(unknown)
    with pytest.raises(BundleError, match="has changed"):
        write_bundle(tmp_path / "c", bundle_of(packs={"core": "0" * 64}))
    assert not (tmp_path / "c").exists()


def test_features_in_another_order_do_not_reproduce_and_unknown_ones_are_refused(
    tmp_path, bundle_of
) -> None:
    bundle = bundle_of()
    names = list(bundle.manifest.features)
    stranger = write_raw(
        tmp_path / "a", resealed(bundle.files(), features=[*names[:-1], "no_such_feature"])
    )
    with pytest.raises(BundleError, match="no_such_feature"):
        load_bundle(stranger)
    fewer = write_raw(tmp_path / "b", resealed(bundle.files(), features=names[:1]))
    with pytest.raises(BundleError):
        load_bundle(fewer)


def test_golden_rows_that_score_otherwise_are_refused_and_the_platform_is_suspected(
    tmp_path, bundle_of
) -> None:
    bundle = bundle_of()
    other = {**bundle.golden, "scores": np.nextafter(bundle.golden["scores"], 9.0)}
    forged = type(bundle)(bundle.manifest, bundle.trees, bundle.calibration, other, {})
    content = forged.files()
    hashes = {k: hashlib.sha256(content[k]).hexdigest() for k in ("arrays.npz", "golden.npz")}
    here = write_raw(tmp_path / "a", resealed(content, files=hashes))
    with pytest.raises(BundleError, match=r"golden rows don't give the bits.*don't edit"):
        load_bundle(here)
    platform = {**bundle.manifest.platform, "libc": "musl 9"}
    there = write_raw(tmp_path / "b", resealed(content, files=hashes, platform=platform))
    with pytest.raises(BundleError, match="differs in libc"):
        load_bundle(there)


def test_a_pickle_in_the_arrays_is_not_opened(tmp_path, bundle_of) -> None:
    import io

    bundle = bundle_of()
    buffer = io.BytesIO()
    np.savez(buffer, rows=np.array([{"a": 1}], dtype=object))
    content = {**bundle.files(), "golden.npz": buffer.getvalue()}
    hashes = {k: hashlib.sha256(content[k]).hexdigest() for k in ("arrays.npz", "golden.npz")}
    folder = write_raw(tmp_path / "b", resealed(content, files=hashes))
    with pytest.raises(BundleError, match="arrays don't read"):
        load_bundle(folder)


def test_a_manifest_with_other_spaces_is_refused_though_its_seal_fits(tmp_path, bundle_of) -> None:
    content = bundle_of().files()
    text = json.dumps(json.loads(content["manifest.json"])).encode()
    seal = f"{hashlib.sha256(text).hexdigest()}\n".encode()
    folder = write_raw(tmp_path / "b", {**content, "manifest.json": text, "manifest.sha256": seal})
    with pytest.raises(BundleError, match="not written by Vostok"):
        load_bundle(folder)


def test_no_folder_is_a_clear_error(tmp_path) -> None:
    with pytest.raises(BundleError, match="there is no bundle"):
        load_bundle(tmp_path / "nothing")


def test_columns_are_selected_by_name(bundle_of) -> None:
    bundle = bundle_of()
    names = bundle.manifest.features
    frame = pl.DataFrame({name: [float(i)] for i, name in enumerate(reversed(names))})
    frame = frame.with_columns(other=pl.lit(7.0))
    assert bundle.select(frame).tolist() == [[5.0, 4.0, 3.0, 2.0, 1.0, 0.0]]
    with pytest.raises(BundleError, match=names[2]):
        bundle.select(frame.drop(names[2]))


def test_a_bundle_replaces_an_older_one_whole(tmp_path, bundle_of) -> None:
    folder = tmp_path / "bundle"
    write_bundle(folder, bundle_of({"note.txt": b"old"}, week="2024-03-04"))
    newer = bundle_of(week="2024-03-11")
    write_bundle(folder, newer)
    assert load_bundle(folder).sha256 == newer.sha256
    assert sorted(p.name for p in tmp_path.iterdir()) == [".bundle.lock", "bundle"]


def test_a_copy_has_the_same_bytes(tmp_path, bundle_of) -> None:
    sha256 = write_bundle(tmp_path / "a", bundle_of())
    keep_bundle(tmp_path / "a", tmp_path / "b", sha256=sha256, gate=b"{}")
    for name in NAMES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="two names are exchanged in one step on Linux")
def test_a_killed_writer_leaves_the_old_bundle_or_the_new_one(tmp_path, bundle_of) -> None:
    old, new = bundle_of(week="2024-03-04"), bundle_of(week="2024-03-11")
    folder = tmp_path / "home" / "bundle"
    write_bundle(folder, old)
    for name, content in (("old", old), ("new", new)):
        write_raw(tmp_path / name, content.files())
    script = textwrap.dedent(
        """
        import itertools, sys
        from pathlib import Path
        from vostok_core.models.folders import install_folder
        root = Path(sys.argv[1])
        contents = [
            {p.name: p.read_bytes() for p in (root / name).iterdir()} for name in ("new", "old")
        ]
        print("ready", flush=True)
        for files in itertools.cycle(contents):
            install_folder(root / "home" / "bundle", files, check=lambda folder: None)
        """
    )
    project = Path(__file__).resolve().parents[2]
    rng = np.random.default_rng(2)
    for _ in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(project)},
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        deadline = time.monotonic() + float(rng.uniform(0.02, 0.2))
        while time.monotonic() < deadline:
            # The bundle is whole at every instant, also while it is being replaced. A reader that
            # opens files one by one may meet two bundles; it then refuses, and asks again.
            assert (folder / "manifest.json").exists()
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert load_bundle(folder).sha256 in {old.sha256, new.sha256}
    write_bundle(folder, new)
    assert sorted(p.name for p in folder.parent.iterdir()) == [".bundle.lock", "bundle"]
