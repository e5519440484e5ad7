"""The network between the peers: starts the router, and adds up what the faults ask of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Final

from tests.chaos.namespaces import Namespace, open_namespace
from tests.chaos.router import Condition, Counts

__all__ = ["Network", "open_network"]

_END_S: Final = 10.0


class Network:
    """Namespaces joined by a router. Each fault has a condition of its own; they add up."""

    def __init__(self, namespaces: Sequence[Namespace], router: subprocess.Popen[bytes]) -> None:
        self.namespaces = namespaces
        self._router = router
        self._conditions: dict[object, Condition] = {}

    def disturb(self, fault: object, condition: Condition) -> None:
        """Put ``fault``'s condition in place, instead of the one it had."""
        self._conditions[fault] = condition
        self._tell()

    def settle(self, fault: object) -> None:
        """Take ``fault``'s condition away."""
        self._conditions.pop(fault, None)
        self._tell()

    def heal(self) -> None:
        self._conditions.clear()
        self._tell()

    def _tell(self) -> None:
        whole = reduce(Condition.merged, self._conditions.values(), Condition())
        if self._router.stdin is None or self._router.poll() is not None:
            raise RuntimeError("the router has ended")
        # A line of some KiB, which a pipe always takes at once.
        self._router.stdin.write(whole.to_json().encode() + b"\n")
        self._router.stdin.flush()

    def end(self) -> Counts:
        """End the router and return its counts."""
        said, _ = self._router.communicate(timeout=_END_S)
        return Counts(**json.loads(said))


@contextmanager
def open_network(addresses: Sequence[str], seed: int) -> Iterator[Network]:
    """Make a namespace for each address, joined by a router that draws from ``seed``."""
    namespaces: list[Namespace] = []
    try:
        for address in addresses:
            namespaces.append(open_namespace(address))
        ports = [f"{namespace.tun_fd}={namespace.address}" for namespace in namespaces]
        with subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.router", str(seed), *ports],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            pass_fds=[namespace.tun_fd for namespace in namespaces],
        ) as router:  # fmt: skip
            try:
                yield Network(namespaces, router)
            finally:
                router.kill()
    finally:
        for namespace in namespaces:
            namespace.close()
