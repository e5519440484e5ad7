"""The package is imported lazily, and nothing it brings does I/O."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pinstate

LAZY = """
import sys, pinstate
assert not [m for m in sys.modules if m.startswith("pinstate.")], "imported early"
pinstate.PinState, pinstate.OpCodec, pinstate.pin_to_json
pinstate.LogOp.decode(pinstate.LogOp.pin(pinstate.Pin(name="n")).explicit_form())
loud = {"multiaddr", "libp2p", "trio", "cryptography", "keys"} & set(sys.modules)
assert not loud, loud
"""


def test_every_public_name_is_there() -> None:
    assert set(pinstate.__all__) <= {name for name in dir(pinstate) if getattr(pinstate, name)}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pinstate.nothing  # noqa: B018


def test_importing_the_package_imports_no_module_and_using_it_no_heavy_one() -> None:
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True)
    assert (0, "") == (done.returncode, done.stderr)
