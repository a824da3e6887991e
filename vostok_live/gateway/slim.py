"""ccxt's Binance for asyncio, without the hundred exchanges that its packages import with it.

The packages `ccxt` and `ccxt.async_support` are put in place as names that their modules find, not
carried out. Whoever asks one of them for anything else gets it: the package is carried out then.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from vostok_core.shells import shell

_BASE = ("errors", "precise", "decimal_to_precision", "exchange")


def binance() -> Any:
    """The class `ccxt.async_support.binance`."""
    if "ccxt" not in sys.modules:
        ccxt = shell("ccxt")
        for name in _BASE:
            module = import_module(f"ccxt.base.{name}")
            for word, value in vars(module).items():
                if not word.startswith("_") and not isinstance(value, ModuleType):
                    vars(ccxt).setdefault(word, value)
        vars(ccxt)["async_support"] = shell("ccxt.async_support")
    made = import_module("ccxt.async_support.binance").binance
    # As in the whole package: the class, not the module that the import left there.
    vars(sys.modules["ccxt.async_support"])["binance"] = made
    return made
