"""The demo's content: every file of the running Python's standard library, under its real CID."""

from __future__ import annotations

import hashlib
import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pinstate.cid import cid_text, raw_sha256_cid

__all__ = ["File", "files_with_cids", "library_files", "library_root"]

_CHUNK_BYTES = 1 << 20
_NOT_THE_LIBRARY = frozenset({"site-packages", "dist-packages", "__pycache__"})
_RAW_SHA256_PREFIX = raw_sha256_cid(b"")[:-32]


@dataclass(frozen=True, slots=True)
class File:
    """A file's path below the library's root, and its CID (CIDv1, raw, sha2-256)."""

    name: str
    cid: str


def library_root() -> Path:
    """Return where the standard library is."""
    return Path(sysconfig.get_path("stdlib"))


def library_files(root: Path, most: int | None = None) -> list[Path]:
    """Return the files below ``root`` in a fixed order, without caches and installed packages."""
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - _NOT_THE_LIBRARY)
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
                found.append(path)
    return found[:most]


def files_with_cids(root: Path, paths: list[Path]) -> Iterator[File]:
    """Yield each file with its CID, reading it in pieces."""
    for path in paths:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        cid = cid_text(_RAW_SHA256_PREFIX + digest.digest())
        yield File(path.relative_to(root).as_posix(), cid)
