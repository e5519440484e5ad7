"""What a fuzz target is: one decoder, bytes to begin from, and the rejections it documents.

A target fails on anything else: another exception, a broken property (an ``AssertionError``),
or a run that takes ``SLOWEST_S``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

__all__ = ["SLOWEST_S", "Finding", "Target", "cuts", "run_one"]

SLOWEST_S = 2.0
"""Processor time of one input of at most some KiB: what takes longer can hold up a peer."""


class Finding(AssertionError):
    """A decoder did what it does not document."""


@dataclass(frozen=True, slots=True)
class Target:
    """One decoder.

    ``run`` decodes, checks what must hold of the result, and lets the decoder's exceptions
    out; ``rejections`` are those it documents. ``seeds`` gives well-formed inputs.
    """

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    rejections: tuple[type[Exception], ...]


def run_one(target: Target, data: bytes) -> bool:
    """Run ``target`` on ``data``; tell whether it was accepted.

    Raises:
        Finding: the decoder raised what it does not document, or took too long.
        AssertionError: something that must hold of the result does not.

    """
    began = time.process_time()
    is_accepted = False
    try:
        target.run(data)
        is_accepted = True
    except target.rejections:
        pass
    except AssertionError:
        raise
    except Exception as error:
        kind = type(error).__name__
        raise Finding(f"{target.name} raised {kind}: {error}; input {data.hex()}") from error
    took_s = time.process_time() - began
    if took_s > SLOWEST_S:
        raise Finding(f"{target.name} took {took_s:.1f} s for {len(data)} bytes: {data.hex()}")
    return is_accepted


def cuts(data: bytes) -> Iterator[bytes]:
    """Yield ``data`` in pieces whose sizes follow from its content, many of them of one byte."""
    dice = random.Random(crc32(data))
    position = 0
    while position < len(data):
        size = dice.choice((1, 1, 1, 2, 3, 7, 16, 64, 1024))
        yield data[position : position + size]
        position += size
