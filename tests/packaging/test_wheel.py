"""The wheel is what people install: it holds the four rooms, all of them import, and no test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
ROOMS = ("keys", "node", "pinstate", "raft_over_libp2p")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def _build(source: Path, out: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source],
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(PROJECT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def clean_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; its dependencies are those this run has already."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"),
            *("--no-index", "--disable-pip-version-check", wheel),
        ],
        check=True,
        capture_output=True,
    )
    # Last on the path, as a plain folder: .pth files in it, and so this checkout, stay unread.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


def test_the_wheel_holds_the_four_rooms_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}

    assert set(ROOMS) == tops


def test_every_room_is_marked_as_typed(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert {f"{room}/py.typed" for room in ROOMS} <= set(names)


def test_the_wheel_is_the_same_bytes_built_elsewhere_at_another_time(
    wheel: Path, tmp_path: Path
) -> None:
    # Elsewhere: other paths, other times of the files, no git, and modes as under another umask.
    source = tmp_path / "elsewhere"
    source.mkdir()
    for name in (*ROOMS, "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copyfile
        copy(PROJECT / name, source / name)
    for path in source.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (1_000_000_000, 1_000_000_000))

    assert wheel.read_bytes() == _build(source, tmp_path / "dist").read_bytes()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_in_a_clean_environment(clean_python: Path, room: str) -> None:
    script = f"import {room}; print({room}.__file__)"
    run = subprocess.run(
        [clean_python, "-I", "-c", script], capture_output=True, text=True, check=False
    )

    assert (0, "") == (run.returncode, run.stderr)
    assert str(PROJECT) not in run.stdout


def test_every_public_name_of_every_room_imports_in_a_clean_environment(clean_python: Path) -> None:
    script = "\n".join(
        f"import {room}\nfor name in {room}.__all__: getattr({room}, name)" for room in ROOMS
    )
    run = subprocess.run(
        [clean_python, "-I", "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "") == (run.returncode, run.stderr)


def test_the_console_command_runs_in_a_clean_environment(clean_python: Path) -> None:
    run = subprocess.run(
        [clean_python.with_name("raft-node"), "--help"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, True) == (run.returncode, "pin" in run.stdout)
