"""numba, with its cache of compiled kernels bound to the whole of this code.

A kernel freezes the constants it was compiled with, those of other modules included, and numba
looks for changes only in the file that defines the kernel. So every state of the library's source
has a cache folder of its own: `kernels-<hash>`, beside the bytecode of this package, or in numba's
`CACHE_DIR` where one is set (`NUMBA_CACHE_DIR`), or in the user's cache where neither can be
written. Every module with kernels imports numba from here: `from vostok_core.compiled import nb`.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numba as nb
from numba.misc.appdirs import AppDirs

__all__ = ["nb", "source_hash"]

_PACKAGE = Path(__file__).parent
_PREFIX = "kernels-"
_KEPT = 8
"""Folders that stay: processes that still run on earlier source may be writing to theirs."""


def source_hash(package: Path = _PACKAGE) -> str:
    """Hash of every source file of a package, by name and content; first 16 hex digits."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package).as_posix()}:{len(content)};".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _bind_cache() -> None:
    config: Any = nb.config
    name = _PREFIX + source_hash()
    places = (
        [Path(config.CACHE_DIR)]
        if config.CACHE_DIR
        else [_PACKAGE / "__pycache__", Path(AppDirs("vostok", appauthor=False).user_cache_dir)]
    )
    for place in places:
        folder = place / name
        is_new = not folder.is_dir()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue  # read-only: the next place, or numba's own choice
        config.CACHE_DIR = str(folder)
        if is_new:
            _sweep(place)
        return


def _sweep(place: Path) -> None:
    """Remove the folders of all but the last states of the source that ran."""
    try:
        found = [path for path in place.glob(f"{_PREFIX}*") if path.is_dir()]
        found.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    except OSError:
        return  # another process sweeps
    for path in found[_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)


_bind_cache()
