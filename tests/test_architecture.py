"""What may import what, and what the library must not touch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = sorted((ROOT / "vostok_core").rglob("*.py"))
PACKAGES = sorted(
    path
    for name in ("vostok", "vostok_core", "vostok_exchange", "vostok_pipelines")
    for path in (ROOT / name).rglob("*.py")
)
FORBIDDEN = {
    "dagster", "ccxt", "optuna", "lightgbm", "sklearn", "xgboost", "ta", "talib", "feedparser",
    "httpx", "aiohttp", "requests", "websockets", "sqlalchemy", "typer",
    "vostok", "vostok_exchange", "vostok_pipelines", "vostok_live",
}  # fmt: skip
# The clock and the environment, as they are named in source.
IMPURE = {
    "os.environ", "os.getenv", "os.putenv", "time.time", "time.time_ns", "time.monotonic",
    "time.perf_counter", "time.sleep", "datetime.now", "datetime.utcnow", "datetime.today",
    "date.today", "Path.cwd", "Path.home", "os.getcwd", "socket.socket",
}  # fmt: skip


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def dotted(node: ast.AST) -> str:
    """`a.b.c` of an attribute, or an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def names_used(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            yield node.lineno, dotted(node)


def test_import_contracts_are_kept() -> None:
    result = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


def test_every_package_of_the_project_is_under_contract() -> None:
    import tomllib

    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    there = {path.parent.name for path in ROOT.glob("vostok*/__init__.py")}
    assert set(config["root_packages"]) == there


def test_the_whole_library_loads_without_any_forbidden_module() -> None:
    code = (
        "import importlib, pkgutil, sys, vostok_core\n"
        "for module in pkgutil.walk_packages(vostok_core.__path__, 'vostok_core.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    loaded = set(result.stdout.split())
    assert {"polars", "numba", "vostok_core"} <= loaded
    assert sorted(loaded & FORBIDDEN) == []


@pytest.mark.parametrize("path", CORE, ids=relative)
def test_the_library_knows_neither_clock_nor_environment(path: Path) -> None:
    found = [
        f"{relative(path)}:{line}: {name}"
        for line, name in names_used(path)
        if ".".join(name.split(".")[-2:]) in IMPURE
    ]
    assert found == []


def test_no_kernel_may_reorder_floating_point() -> None:
    found = [
        f"{relative(path)}:{node.lineno}"
        for path in PACKAGES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.keyword)
        and node.arg in ("fastmath", "parallel")
        and not (isinstance(node.value, ast.Constant) and node.value.value is False)
    ]
    assert found == []


def test_nothing_is_pickled() -> None:
    found = [
        f"{relative(path)}:{node.lineno}"
        for path in PACKAGES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or "", *(a.name for a in node.names)]
        if name.partition(".")[0] in ("pickle", "joblib", "dill", "cloudpickle", "shelve")
    ]
    assert found == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        relative(path)
        for path in PACKAGES
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_dagster_modules_keep_their_annotations_unevaluated_nowhere() -> None:
    """Dagster reads the annotations of assets at run time and can't read strings."""
    decorators = {"dg.asset", "dg.multi_asset", "dg.asset_check", "dg.op", "dg.sensor"}
    found = []
    for path in sorted((ROOT / "vostok_pipelines").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        decorated = any(
            dotted(d.func if isinstance(d, ast.Call) else d) in decorators
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)
            for d in node.decorator_list
        )
        future = any(isinstance(n, ast.ImportFrom) and n.module == "__future__" for n in tree.body)
        if decorated and future:
            found.append(relative(path))
    assert found == []
