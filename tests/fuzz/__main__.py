"""Fuzz decoders guided by coverage: ``python -m tests.fuzz TARGET [--seconds N]``, or ``all``.

Needs atheris, which is in no lock file because nothing else does: install it into the
environment this runs in with ``pip install atheris==3.0.0`` (Linux, Python 3.11 to 3.13). A
finding ends its target with the input in hexadecimal; the last line counts them all.
"""

# ruff: noqa: T201 - a command speaks

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

# The C unpacker shows no coverage; the Python one must agree with it.
os.environ["MSGPACK_PUREPYTHON"] = "1"

_MOST_INPUT_BYTES = 8192


def _fuzz_here(name: str, seconds: int) -> None:
    """Fuzz one target in this process, which atheris ends."""
    import atheris

    with atheris.instrument_imports(
        include=["raft_over_libp2p", "pinstate", "node", "keys", "msgpack"]
    ):
        from tests.fuzz.registry import TARGETS
    from tests.fuzz.target import run_one

    target = TARGETS[name]

    def one(data: bytes) -> None:
        run_one(target, data)

    with tempfile.TemporaryDirectory(prefix="raft-corpus-") as folder:
        for number, seed in enumerate(target.seeds()):
            (Path(folder) / f"{number}").write_bytes(seed)
        options = [
            f"-max_total_time={seconds}",
            f"-max_len={_MOST_INPUT_BYTES}",
            f"-artifact_prefix={folder}/",
            "-timeout=20",
            "-print_final_stats=1",
            "-verbosity=0",
        ]
        atheris.Setup([sys.argv[0], *options, folder], one)
        atheris.Fuzz()


def _fuzz_apart(name: str, seconds: int) -> bool:
    """Fuzz one target in a process of its own; say what came of it."""
    command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(seconds), "--here"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    said = done.stdout + done.stderr
    counted = re.search(r"number_of_executed_units: (\d+)", said) or re.search(
        r"Done (\d+) runs", said
    )
    runs = counted[1] if counted else "?"
    found = [line for line in said.splitlines() if "Finding" in line or "AssertionError" in line]
    if done.returncode == 0:
        print(f"{name}: {runs} inputs, nothing found", flush=True)
        return True
    print(f"{name}: {runs} inputs, FOUND (exit {done.returncode})", flush=True)
    for line in found[:4] or said.splitlines()[-8:]:
        print(f"  {line[:2000]}", flush=True)
    if not found:
        return False
    traced = [line for line in said.splitlines() if line.startswith("  File ")]
    for line in traced[-4:]:
        print(f"  {line.strip()}", flush=True)
    return False


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="+", help="names of targets, or all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if find_spec("atheris") is None:
        print(
            f"atheris is not installed. Run: {sys.executable} -m pip install atheris==3.0.0",
            file=sys.stderr,
        )
        return 2
    if options.here:
        _fuzz_here(options.target[0], options.seconds)
        return 0
    from tests.fuzz.registry import TARGETS

    names = list(TARGETS) if options.target == ["all"] else options.target
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        print(f"no target {', '.join(unknown)}; there are {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    held = [_fuzz_apart(name, options.seconds) for name in names]
    print(f"fuzz: {len(held)} targets, {held.count(False)} findings")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
