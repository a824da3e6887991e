"""ccxt's Binance for asyncio, without the hundred exchanges that its packages import with it.

The packages `ccxt` and `ccxt.async_support` are put in place as names that their modules find, not
carried out. Whoever asks one of them for anything else gets it: the package is carried out then.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

_BASE = ("errors", "precise", "decimal_to_precision", "exchange")


def binance() -> Any:
    """The class `ccxt.async_support.binance`."""
    if "ccxt" not in sys.modules:
        ccxt = _shell("ccxt")
        for name in _BASE:
            module = import_module(f"ccxt.base.{name}")
            for word, value in vars(module).items():
                if not word.startswith("_") and not isinstance(value, ModuleType):
                    vars(ccxt).setdefault(word, value)
        vars(ccxt)["async_support"] = _shell("ccxt.async_support")
    made = import_module("ccxt.async_support.binance").binance
    # As in the whole package: the class, not the module that the import left there.
    vars(sys.modules["ccxt.async_support"])["binance"] = made
    return made


def _shell(name: str) -> ModuleType:
    spec = find_spec(name)
    assert spec is not None, "ccxt is a dependency"
    assert spec.loader is not None, "ccxt is installed as files"
    loader = spec.loader
    module = module_from_spec(spec)

    def carried_out(word: str) -> Any:
        if word.startswith("__") and word != "__all__":
            raise AttributeError(f"module {name!r} has no attribute {word!r}")
        del vars(module)["__getattr__"]
        loader.exec_module(module)
        return getattr(module, word)

    vars(module)["__getattr__"] = carried_out
    sys.modules[name] = module
    return module
