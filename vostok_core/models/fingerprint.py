"""What the bits of a model depend on besides its arrays."""

from __future__ import annotations

import platform

import llvmlite  # type: ignore[import-untyped]
import llvmlite.binding  # type: ignore[import-untyped]
import numba


def fingerprint() -> dict[str, str]:
    """Processor, operating system, C library and compiler: what the last bit may depend on."""
    return {
        "machine": platform.machine(),
        "processor": llvmlite.binding.get_host_cpu_name(),
        "system": platform.system(),
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
    }
