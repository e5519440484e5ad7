"""Every target by its name."""

from __future__ import annotations

from tests.fuzz import (
    node_targets,
    own_targets,
    pin_targets,
    storage_targets,
    swarm_targets,
    wire_targets,
)
from tests.fuzz.target import Target

__all__ = ["TARGETS"]

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (
        wire_targets,
        own_targets,
        pin_targets,
        storage_targets,
        node_targets,
        swarm_targets,
    )
    for target in module.TARGETS
}
