"""Each transcript in this folder comes out as it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.commands import BadCommand
from tests.scenarios.transcript import difference, files, replayed

HINT = "When the new behaviour is right by its source: python -m tests.scenarios --rewrite tests/scenarios/"


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_a_transcript_comes_out_as_it_is_written(path: Path) -> None:
    written = path.read_text()
    played = replayed(written)
    if written != played:
        diff = difference(path.name, written, played)
        pytest.fail(f"{diff}\n{HINT}{path.name}", pytrace=False)


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_a_transcript_begins_with_what_it_shows_and_its_source(path: Path) -> None:
    comment = path.read_text().split("\n\n")[0]
    assert all(line.startswith("#") for line in comment.splitlines())
    assert "Source: " in comment


def test_there_are_at_least_25_transcripts() -> None:
    assert len(files()) >= 25


@pytest.mark.parametrize(
    "line", ["shout n1", "timeout", "propose n9 x", "config color=3", "deliver n1 -> n2"]
)
def test_a_command_that_makes_no_sense_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(BadCommand, match="line 3: "):
        replayed(f"# Source: none\n\n{line}\n")


def test_what_was_not_foreseen_shows_as_a_difference() -> None:
    text = "# Source: none\n\ncluster 3\ntimeout n1\n----\nn1 leader term=1\n"
    assert text != replayed(text)


def test_a_replay_of_a_replay_changes_nothing() -> None:
    once = replayed("# Source: none\n\ncluster 3\ntimeout n1\n\npropose n1 x\n")
    assert once == replayed(once)
