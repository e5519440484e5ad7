from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from raft_over_libp2p.core.trace import TraceRecord
from tests.model.runs import WITH_CHANGES, simulate
from tests.model.trace_file import merged, trace_to
from tests.model.traces import lines_of


def _traced(seed: int) -> list[TraceRecord]:
    records, _ = simulate(seed, WITH_CHANGES, 100)
    return records


def test_what_several_processes_wrote_is_read_in_the_order_it_happened(tmp_path: Path) -> None:
    records = _traced(1)
    paths = {record.server: tmp_path / f"{record.server}.ndjson" for record in records}
    with ExitStack() as stack:
        tracers = {server: stack.enter_context(trace_to(paths[server])) for server in paths}
        for record in records:
            tracers[record.server](record)

    assert lines_of(records) == merged(paths.values())


def test_a_line_that_a_killed_process_did_not_end_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text('{"ns": 1, "do": "is", "i": "a"}\n{"ns": 2, "do')

    assert [{"do": "is", "i": "a"}] == merged([path])


def test_a_damaged_line_is_refused_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text('{"ns": 1, "do": "is", "i": "a"}\n{"ns": 2, "do\n')

    with pytest.raises(ValueError, match="line 2"):
        merged([path])


def test_a_trace_that_came_to_its_size_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    with trace_to(path, most_bytes=2000) as tracer:
        for record in _traced(1):
            tracer(record)

    assert path.stat().st_size < 2200
    with pytest.raises(ValueError, match="cut at its size limit"):
        merged([path])
