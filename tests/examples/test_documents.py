"""Code that is shown is code that runs: each block of the documents is a piece of an example.

The examples are type-checked like the packages (``make types``) and run by the tests here.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
EXAMPLES = {path: path.read_text() for path in sorted((PROJECT / "examples").glob("*.py"))}
DOCUMENTS = ["README.md", "docs/embedding.md"]


def blocks(document: str) -> list[str]:
    return re.findall(
        r"^```python\n(.*?)^```", (PROJECT / document).read_text(), re.DOTALL | re.MULTILINE
    )


def is_shown(block: str, example: str) -> bool:
    """Tell whether ``block`` stands in ``example`` line for line, at some indentation."""
    indents = {" " * width for width in (0, 4, 8)}
    return any(f"\n{textwrap.indent(block, indent)}" in f"\n{example}" for indent in indents)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_of_a_document_stands_in_an_example(document: str) -> None:
    strange = [
        block
        for block in blocks(document)
        if not any(is_shown(block, example) for example in EXAMPLES.values())
    ]

    assert [] == strange


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_has_blocks(document: str) -> None:
    assert blocks(document)


def test_a_changed_line_is_seen() -> None:
    block = blocks("docs/embedding.md")[0]

    assert not any(is_shown(block.replace("amount", "size"), e) for e in EXAMPLES.values())


def test_examples_are_type_checked() -> None:
    assert '"examples"' in (PROJECT / "pyproject.toml").read_text().split("[tool.mypy]")[1]
