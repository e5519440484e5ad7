"""What peers agree on: pins, the operations that change them, and the set they make.

Pure values: no I/O, no clock. Everything is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pinstate.cid import InvalidCid, cid_text, parse_cid, raw_sha256_cid
    from pinstate.errors import (
        MalformedOperation,
        MalformedPin,
        MalformedSnapshot,
        UnstorablePin,
    )
    from pinstate.log_op import LogOp, LogOpType, OpCodec
    from pinstate.pin import Pin, PinMode, PinType
    from pinstate.pin_json import pin_from_json, pin_to_json
    from pinstate.state import PinState

__all__ = [
    "InvalidCid",
    "LogOp",
    "LogOpType",
    "MalformedOperation",
    "MalformedPin",
    "MalformedSnapshot",
    "OpCodec",
    "Pin",
    "PinMode",
    "PinState",
    "PinType",
    "UnstorablePin",
    "cid_text",
    "parse_cid",
    "pin_from_json",
    "pin_to_json",
    "raw_sha256_cid",
]

_HOMES = {
    "InvalidCid": "cid",
    "LogOp": "log_op",
    "LogOpType": "log_op",
    "MalformedOperation": "errors",
    "MalformedPin": "errors",
    "MalformedSnapshot": "errors",
    "OpCodec": "log_op",
    "Pin": "pin",
    "PinMode": "pin",
    "PinState": "state",
    "PinType": "pin",
    "UnstorablePin": "errors",
    "cid_text": "cid",
    "parse_cid": "cid",
    "pin_from_json": "pin_json",
    "pin_to_json": "pin_json",
    "raw_sha256_cid": "cid",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
