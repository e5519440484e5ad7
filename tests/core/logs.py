"""Logs and configurations in memory: what the machines of these tests are given."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from raft_over_libp2p.core.ready import Write
from raft_over_libp2p.types import (
    Configuration,
    Index,
    LogEntry,
    LogType,
    Server,
    ServerID,
    Suffrage,
    Term,
)

__all__ = ["CODEC", "JsonCodec", "MemoryLog", "configuration_entry", "entry", "ids"]


class JsonCodec:
    """A configuration as JSON; the real codec is the wire's."""

    def encode(self, configuration: Configuration) -> bytes:
        return json.dumps(
            [[s.id, s.address, int(s.suffrage)] for s in configuration.servers]
        ).encode()

    def decode(self, data: bytes) -> Configuration:
        return Configuration(
            tuple(Server(ServerID(i), a, Suffrage(suffrage)) for i, a, suffrage in json.loads(data))
        )


CODEC = JsonCodec()


def ids(*names: str) -> tuple[ServerID, ...]:
    return tuple(ServerID(name) for name in names)


def entry(index: int, term: int, data: bytes = b"", type_: LogType = LogType.COMMAND) -> LogEntry:
    return LogEntry(Index(index), Term(term), type_, data or b"%d.%d" % (term, index))


def configuration_entry(
    index: int, term: int, *voters: str, nonvoters: Iterable[str] = ()
) -> LogEntry:
    servers = [Server(ServerID(v), v) for v in voters]
    servers += [Server(ServerID(n), n, Suffrage.NONVOTER) for n in nonvoters]
    data = CODEC.encode(Configuration(tuple(servers)))
    return LogEntry(Index(index), Term(term), LogType.CONFIGURATION, data)


@dataclass
class MemoryLog:
    """What is on one server's disk."""

    kept: list[LogEntry] = field(default_factory=list)
    first: int = 1

    def first_index(self) -> Index:
        return Index(self.first)

    def last_index(self) -> Index:
        return Index(self.first + len(self.kept) - 1)

    def term(self, index: Index) -> Term:
        assert self.first <= index <= self.last_index()
        return self.kept[index - self.first].term

    def entries(self, low: Index, high: Index, max_bytes: int) -> Sequence[LogEntry]:
        assert self.first <= low <= high <= self.last_index()
        found: list[LogEntry] = []
        size = 0
        for item in self.kept[low - self.first : high - self.first + 1]:
            size += item.size
            if found and size > max_bytes:
                break
            found.append(item)
        return found

    def write(self, write: Write) -> None:
        if write.reset_to is not None:
            self.kept, self.first = [], write.reset_to
        if write.truncate_from is not None:
            del self.kept[write.truncate_from - self.first :]
        if write.append:
            assert write.append[0].index == self.last_index() + 1
            self.kept.extend(write.append)
        if write.remove_prefix is not None:
            del self.kept[: write.remove_prefix + 1 - self.first]
            self.first = max(self.first, write.remove_prefix + 1)
