"""One exchange of ccxt's for asyncio, without the hundred others that its packages import with it.

The packages `ccxt` and `ccxt.async_support` are put in place as names that their modules find, not
carried out. Whoever asks one of them for anything else gets it: the package is carried out then.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from vostok_core.errors import UsageError
from vostok_core.shells import shell

_BASE = ("errors", "precise", "decimal_to_precision", "exchange")


def exchange_class(name: str) -> Any:
    """The class `ccxt.async_support.<name>`.

    Raises:
        UsageError: ccxt has no exchange of this name.
    """
    if "ccxt" not in sys.modules:
        ccxt = shell("ccxt")
        for module_name in _BASE:
            module = import_module(f"ccxt.base.{module_name}")
            for word, value in vars(module).items():
                if not word.startswith("_") and not isinstance(value, ModuleType):
                    vars(ccxt).setdefault(word, value)
        vars(ccxt)["async_support"] = shell("ccxt.async_support")
    try:
        made = getattr(import_module(f"ccxt.async_support.{name}"), name)
    except (ImportError, AttributeError):
        raise UsageError(
            f"ccxt knows no exchange called {name!r}",
            hint="[sources.rest] takes the names of https://docs.ccxt.com, such as binance",
        ) from None
    # As in the whole package: the class, not the module that the import left there.
    vars(sys.modules["ccxt.async_support"])[name] = made
    return made
