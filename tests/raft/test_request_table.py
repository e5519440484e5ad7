"""Which request IDs a log holds, followed through all that can happen to a log."""

from __future__ import annotations

import pytest

from raft_over_libp2p import limits
from raft_over_libp2p.core.ready import Write
from raft_over_libp2p.errors import LocalProtocolError
from raft_over_libp2p.raft.request_id import (
    RequestID,
    frame_request,
    is_framed,
    split_extensions,
)
from raft_over_libp2p.raft.request_table import RequestTable
from raft_over_libp2p.storage.memory import MemoryLog
from raft_over_libp2p.types import BatchID, Index, LogEntry, Term
from raft_over_libp2p.wire.log_entry import encode_entry

ONE, TWO, THREE = (RequestID(bytes([n]) * 16, Index(0)) for n in (1, 2, 3))


def entry(index: int, request: RequestID | None = None, own: bytes = b"") -> LogEntry:
    extensions = own if request is None else frame_request(request, own)
    return LogEntry(Index(index), Term(1), data=b"op", extensions=extensions)


def appending(*entries: LogEntry, truncate_from: int | None = None) -> Write:
    first = None if truncate_from is None else Index(truncate_from)
    return Write(batch=BatchID(1), append=entries, truncate_from=first)


def table(*entries: LogEntry) -> RequestTable:
    made = RequestTable()
    made.follow(appending(*entries))
    return made


def test_an_id_and_the_callers_extensions_share_an_entry() -> None:
    request = RequestID(bytes(range(16)), Index(7))

    assert (request, b"mine") == split_extensions(frame_request(request, b"mine"))
    assert (None, b"mine") == split_extensions(b"mine")
    assert is_framed(frame_request(request, b""))
    assert not is_framed(frame_request(request, b"")[:-1])


def test_an_id_reads_back_from_its_text() -> None:
    request = RequestID.new(Index(42))

    assert request == RequestID.parse(str(request))


@pytest.mark.parametrize("text", ["", "00", "zz-1", "00" * 16 + "-", "00" * 15 + "-1", "-1"])
def test_text_that_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(LocalProtocolError):
        RequestID.parse(text)


def test_what_is_appended_is_found_and_what_is_not_is_not() -> None:
    made = table(entry(1), entry(2, ONE, b"mine"), entry(3, own=b"mine"))

    assert (2, None) == (made.find(ONE), made.find(TWO))


def test_a_truncated_id_is_gone() -> None:
    made = table(entry(1, ONE), entry(2, TWO))
    made.follow(appending(entry(2, THREE), truncate_from=2))

    assert (1, None, 2) == (made.find(ONE), made.find(TWO), made.find(THREE))


def test_compaction_forgets_ids_and_says_so() -> None:
    made = table(entry(1, ONE), entry(2, TWO))
    made.follow(Write(batch=BatchID(2), remove_prefix=Index(1)))

    assert (None, 2) == (made.find(ONE), made.find(TWO))
    assert not made.reaches(ONE)
    assert made.reaches(RequestID(bytes(16), Index(1)))


def test_a_snapshot_in_the_logs_place_forgets_all() -> None:
    made = table(entry(1, ONE))
    made.follow(Write(batch=BatchID(2), reset_to=Index(11), append=(entry(11, TWO),)))

    assert (None, 11) == (made.find(ONE), made.find(TWO))
    assert not made.reaches(RequestID(bytes(16), Index(9)))
    assert made.reaches(RequestID(bytes(16), Index(10)))


def test_a_server_that_starts_reads_its_log() -> None:
    log = MemoryLog()
    entries = [entry(1, ONE), entry(2), entry(3, TWO)]
    for one in entries:
        encode_entry(one)
    log.write(None, entries)
    made = RequestTable.of_log(log)

    assert (1, 3) == (made.find(ONE), made.find(TWO))
    assert made.reaches(THREE)


def test_only_the_newest_entries_are_read_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ENTRIES_READ_FOR_REQUESTS", 2)
    log = MemoryLog()
    entries = [entry(1, ONE), entry(2), entry(3, TWO)]
    for one in entries:
        encode_entry(one)
    log.write(None, entries)
    made = RequestTable.of_log(log)

    assert (None, 3) == (made.find(ONE), made.find(TWO))
    assert not made.reaches(ONE)


def test_ids_beyond_the_limit_count_as_compacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_REQUEST_IDS", 2)
    made = table(entry(1, ONE), entry(2, TWO), entry(3, THREE))

    assert (None, 2, 3) == (made.find(ONE), made.find(TWO), made.find(THREE))
    assert not made.reaches(ONE)


def test_the_newest_results_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_REQUEST_RESULTS", 1)
    entries = [entry(1, ONE), entry(2), entry(3, TWO)]
    made = table(*entries)
    made.applied(entries, ["a", "b", "c"])

    assert not made.has_result(ONE)
    assert made.result(TWO) == "c"


def test_a_result_goes_with_its_entry() -> None:
    entries = [entry(1, ONE)]
    made = table(*entries)
    made.applied(entries, ["a"])
    made.follow(Write(batch=BatchID(2), remove_prefix=Index(1)))

    assert not made.has_result(ONE)
