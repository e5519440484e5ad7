"""A peer's folder: where it is and what its files are called (IPFS Cluster's names)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.errors import FolderError

__all__ = ["DEFAULT_FOLDER", "Folder"]

DEFAULT_FOLDER: Final = "~/.raft-node"


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of one peer. Nothing is touched until a method says so."""

    path: Path

    @staticmethod
    def find(option: str | Path | None, environ: Mapping[str, str] = os.environ) -> Folder:
        """Return the folder named by ``-c``, else by RAFT_NODE_PATH, else ``~/.raft-node``."""
        named = option or environ.get("RAFT_NODE_PATH") or DEFAULT_FOLDER
        return Folder(Path(named).expanduser().absolute())

    @property
    def service_json(self) -> Path:
        return self.path / "service.json"

    @property
    def identity_json(self) -> Path:
        return self.path / "identity.json"

    @property
    def peerstore(self) -> Path:
        return self.path / "peerstore"

    @property
    def raft(self) -> Path:
        return self.path / "raft"

    def check_in_one_hand(self) -> None:
        """Raise FolderError while ``raft-node migrate`` is not finished here."""
        journal = self.path / "migration.json"
        if journal.exists():
            raise FolderError(
                f"{journal} says that this folder was changing hands when it broke off. Run the "
                "same `raft-node migrate` command again; until then nothing can be done with it."
            )

    def check_initialised(self) -> None:
        """Raise FolderError unless ``init`` was run here."""
        self.check_in_one_hand()
        for file in (self.service_json, self.identity_json):
            if not file.is_file():
                raise FolderError(
                    f"{file} does not exist. Run `raft-node init` first, or name the folder of an "
                    "existing peer with -c or RAFT_NODE_PATH."
                )

    def check_not_go(self, data_folder: Path) -> None:
        """Raise FolderError when the Raft data is a Go peer's, which must not be run beside ours."""
        # A directory of that name is no log of Go's: it keeps Go from starting on our folder.
        if (data_folder / "raft.db").is_file():
            raise FolderError(
                f"{data_folder / 'raft.db'} is the Raft log of a Go peer (ipfs-cluster-service). "
                "This peer will not start beside it, or one peer would vote twice. "
                "Take the folder over with `raft-node migrate from-go`, or use an empty one."
            )
