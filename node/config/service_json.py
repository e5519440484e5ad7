"""service.json: read, checked, overridden by the environment, and written as IPFS Cluster does."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from node import limits
from node.config.schema import COMPONENTS, SECTIONS, TOP_LEVEL, Component, JSONValue
from node.config.values import Value, checked, from_environment
from node.errors import ConfigError

__all__ = ["ServiceJSON", "write_private"]


@dataclass(slots=True)
class ServiceJSON:
    """One service.json: its text as parsed (unknown components included), and checked values."""

    path: Path
    document: dict[str, JSONValue] = field(repr=False)

    @staticmethod
    def default(path: Path) -> ServiceJSON:
        """Return a file with every default in it; keys that Go leaves out when empty are left out."""
        service = ServiceJSON(path, {})
        for component in COMPONENTS:
            target = service._object_at(component.path)
            for setting in component.settings:
                if not setting.is_optional:
                    target[setting.key] = setting.default
        return service

    @staticmethod
    def read(path: Path) -> ServiceJSON:
        """Read a file written by this program or by IPFS Cluster 1.x.

        Raises:
            ConfigError: it is missing, too large, not JSON, or not shaped like a service.json.

        """
        try:
            with path.open("rb") as file:
                raw = file.read(limits.MAX_CONFIG_FILE_BYTES + 1)
        except OSError as error:
            raise ConfigError(path, "", f"cannot be read: {error.strerror}") from error
        if len(raw) > limits.MAX_CONFIG_FILE_BYTES:
            raise ConfigError(path, "", f"is larger than {limits.MAX_CONFIG_FILE_BYTES} bytes")
        try:
            document = json.loads(raw, object_pairs_hook=_without_duplicates)
        except (ValueError, RecursionError) as error:
            raise ConfigError(path, "", f"is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise ConfigError(path, "", "must hold one JSON object")
        service = ServiceJSON(path, document)
        service._check_shape()
        return service

    def set(self, component: tuple[str, ...], key: str, value: JSONValue) -> None:
        """Put ``value`` at ``component`` and ``key``; :meth:`values` checks it."""
        self._object_at(component)[key] = value

    def values(self, component: Component, environ: Mapping[str, str]) -> dict[str, Value]:
        """Return the checked values of one component: environment over file over default.

        Raises:
            ConfigError: a value is not allowed, or a key is unknown; names where it is from.

        """
        table = self._get(component.path)
        self._check_keys(component, table)
        values = {}
        for setting in component.settings:
            source: Path | str = self.path
            key = f"{component.name}.{setting.key}"
            try:
                value = table.get(setting.key, setting.default)
                variable = f"{component.env_prefix}_{setting.env_name}"
                if variable in environ:
                    source, key = "environment", variable
                    value = from_environment(setting, environ[variable])
                values[setting.key] = checked(setting, value)
            except ValueError as error:
                raise ConfigError(source, key, str(error)) from error
        return values

    def write(self) -> None:
        """Write the file, mode 0600, all or nothing."""
        write_private(self.path, json.dumps(self.document, indent=2) + "\n")

    def _check_shape(self) -> None:
        if self.document.get("source"):
            raise ConfigError(
                self.path, "source", "a configuration at a URL is not fetched; copy it to this file"
            )
        for name, section in self.document.items():
            if name not in TOP_LEVEL:
                self._refuse_unknown(name, sorted(TOP_LEVEL))
            if name != "source" and section is not None and not isinstance(section, dict):
                raise ConfigError(self.path, name, f"{section!r} is not allowed; must be an object")
            if name in SECTIONS and isinstance(section, dict):
                for key, component in section.items():
                    if not isinstance(component, dict | None):
                        problem = f"{component!r} is not allowed; must be an object"
                        raise ConfigError(self.path, f"{name}.{key}", problem)
        if "crdt" in self._get(("consensus",)) and "raft" not in self._get(("consensus",)):
            raise ConfigError(
                self.path, "consensus.crdt", "this peer speaks Raft; add a consensus.raft section"
            )

    def _check_keys(self, component: Component, table: dict[str, JSONValue]) -> None:
        known = [setting.key for setting in component.settings]
        for key in table:
            if key not in known:
                self._refuse_unknown(f"{component.name}.{key}", known)

    def _refuse_unknown(self, path: str, known: list[str]) -> NoReturn:
        near = difflib.get_close_matches(path.rpartition(".")[2], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        raise ConfigError(self.path, path, f"unknown key; {hint}")

    def _get(self, path: tuple[str, ...]) -> dict[str, JSONValue]:
        table: JSONValue = self.document
        for name in path:
            table = table.get(name) if isinstance(table, dict) else None
        return table if isinstance(table, dict) else {}

    def _object_at(self, path: tuple[str, ...]) -> dict[str, JSONValue]:
        table = self.document
        for name in path:
            below = table.get(name)
            if not isinstance(below, dict):
                below = table[name] = {}
            table = below
        return table


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` by a durable file of mode 0600 that holds ``text``, or leave it as it was."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _without_duplicates(pairs: list[tuple[str, JSONValue]]) -> dict[str, JSONValue]:
    table = dict(pairs)
    if len(table) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key!r} stands twice in one object")
            seen.add(key)
    return table
