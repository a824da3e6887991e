"""Packages in place as names only, for whoever needs a few modules of a package that imports all.

A shell is what `import` finds under the package's name, so that its modules can be imported without
its `__init__`. That is carried out when somebody asks the shell for a name that it doesn't have.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any


def shell(name: str) -> ModuleType:
    """Put a package in place that was not imported before, without carrying it out."""
    spec = find_spec(name)
    assert spec is not None, f"{name} is not installed"
    assert spec.loader is not None, f"{name} is not installed as files"
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
