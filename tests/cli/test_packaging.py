"""The Makefile, the pins and the files that continuous integration runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from vostok import __version__

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {
        canonical(name): version
        for name, _, version in (line.partition("==") for line in lines if line[:1] != "#")
    }


def outside_make() -> dict[str, str]:
    """The environment less what the make that runs the tests tells the makes under it."""
    told = {"MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "GNUMAKEFLAGS"}
    return {name: value for name, value in os.environ.items() if name not in told}


def make(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=folder, env={**outside_make(), **environ},
        capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_constraints_are_pins_and_nothing_else() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line), line


def test_every_direct_need_is_pinned_and_torch_is_not() -> None:
    needs = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"], "setuptools"]
    names = {canonical(re.match(r"[A-Za-z0-9._-]+", need)[0]) for need in needs}
    assert sorted(names - pins().keys()) == []
    assert not {"torch", "vostok", "optuna"} & pins().keys()


def test_versions_agree() -> None:
    assert PROJECT["version"] == __version__


def test_licence_is_apache() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "APPENDIX: How to apply the Apache License to your work." in text
    assert PROJECT["license"] == "Apache-2.0"


def test_make_alone_lists_every_target() -> None:
    result = make(ROOT)
    assert result.returncode == 0, result.stderr
    targets = re.findall(r"^\.PHONY: ([a-z-]+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"setup", "demo", "test", "test-long", "ui", "check", "format", "clean"} <= set(targets)
    for target in targets:
        if target != "help":
            assert f"make {target} " in result.stdout


def test_every_target_but_help_and_clean_sets_up_first(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    for target in ("setup", "demo", "test", "test-long", "ui", "check", "format", "docs"):
        result = make(tmp_path, "-n", target)
        assert result.returncode == 0, result.stderr
        assert "-m venv" in result.stdout.split("vostok warm")[0], target
    for target in ("help", "clean"):
        assert "-m venv" not in make(tmp_path, "-n", target).stdout


def test_environment_is_stale_after_a_pin_changes_or_the_folder_moves(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".venv" / "bin").mkdir(parents=True)
    interpreter = home / ".venv" / "bin" / "python"
    interpreter.symlink_to(sys.executable)
    shutil.copy(ROOT / "Makefile", home)
    stamp = home / ".venv" / ".vostok-setup"
    stamp.write_text(f"{home}\n")
    for name in ("pyproject.toml", "constraints.txt"):
        (home / name).touch()
        os.utime(home / name, (1, 1))
    assert "pip install" not in make(home, "-n", "setup").stdout
    moved = home.rename(tmp_path / "moved")
    assert "pip install" in make(moved, "-n", "setup").stdout
    (moved / ".venv" / ".vostok-setup").write_text(f"{moved}\n")
    assert "pip install" not in make(moved, "-n", "setup").stdout
    later = (moved / ".venv" / ".vostok-setup").stat().st_mtime + 10
    os.utime(moved / "constraints.txt", (later, later))
    assert "pip install" in make(moved, "-n", "setup").stdout
    os.utime(moved / "constraints.txt", (1, 1))
    assert "pip install" not in make(moved, "-n", "setup").stdout
    gone = moved / ".venv" / "bin" / "python"
    gone.unlink()
    gone.symlink_to(tmp_path / "nowhere")
    assert "pip install" in make(moved, "-n", "setup").stdout


def fake_python(folder: Path, name: str, target: str | None) -> None:
    script = folder / name
    run = f'exec "{target}" "$@"' if target else "exit 127"
    script.write_text(f"#!/bin/sh\n{run}\n")
    script.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder of programs with everything that make needs and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("make", "bash", "sh", "cat", "awk", "rm", "printf", "env"):
        (folder / name).symlink_to(shutil.which(name))
    return folder


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    folder = tmp_path / "bare"
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("pyproject.toml", "constraints.txt"):
        (folder / name).touch()
    return folder


def test_setup_without_python_311_says_what_to_install(bare: Path, tools: Path) -> None:
    fake_python(tools, "python3.11", None)  # a shim of a version that is not there
    result = make(bare, "setup", PATH=str(tools))
    assert result.returncode != 0
    assert "needs Python 3.11" in result.stderr
    assert "Hint: " in result.stderr
    assert not (bare / ".venv").exists()


def test_setup_takes_python3_when_that_is_version_311(bare: Path, tools: Path) -> None:
    """Up to the call that makes the environment: the rest is the same for every Python."""
    fake_python(tools, "python3.11", None)
    script = tools / "python3"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = -m ] && echo "asked for $*" && exit 1\nexec "{sys.executable}" "$@"\n'
    )
    script.chmod(0o755)
    result = make(bare, "setup", PATH=str(tools))
    assert "with Python 3.11" in result.stdout
    assert "asked for -m venv --clear .venv" in result.stdout
    assert result.returncode != 0
    assert not (bare / ".venv").exists()


def test_continuous_integration_runs_the_targets_that_people_run() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=False).returncode == 0
    assert re.findall(r"^make ([a-z-]+)", script, re.MULTILINE) == ["test", "test-long"]
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert set(re.findall(r"run: make ([a-z-]+)", workflow)) == {
        "setup", "test", "test-long", "demo",
    }  # fmt: skip


def test_ci_names_the_shared_data_even_when_it_is_absent(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", project / ".ci" / "run")
    (project / "Makefile").write_text(
        "test:\n\t@echo test $(VOSTOK_SHARED)\ntest-long:\n\t@echo long $(VOSTOK_SHARED)\n"
    )
    environ = {k: v for k, v in outside_make().items() if not k.startswith("VOSTOK_")}

    def lines() -> list[str]:
        command = [project / ".ci" / "run"]
        result = subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
        )
        return result.stdout.splitlines()

    assert lines() == ["test ../shared", "long ../shared"]
    (tmp_path / "shared").mkdir()
    assert lines() == [f"test {tmp_path}/shared", f"long {tmp_path}/shared"]
