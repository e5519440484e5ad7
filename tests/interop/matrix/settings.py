"""The axes of the matrix, and which settings each case runs in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Final

from tests.interop.cluster import Language
from tests.interop.matrix.pairwise import cover_pairs

__all__ = ["AXES", "CASES", "COMPOSITIONS", "Setting", "settings_of"]

COMPOSITIONS: Final[dict[str, tuple[Language, ...]]] = {
    "G2P1": ("go", "go", "python"),
    "G1P2": ("go", "python", "python"),
    "G3P2": ("go", "go", "go", "python", "python"),
    "G2P3": ("go", "go", "python", "python", "python"),
}
"""G3P2 is three Go peers and two Python ones."""

AXES: Final[dict[str, tuple[str, ...]]] = {
    "composition": tuple(COMPOSITIONS),
    "release": ("1.6.0", "1.7.3", "1.8.0"),
    "security": ("noise", "tls"),
    "dialler": ("go", "python"),
}
"""``release`` is hashicorp/raft's; only peers of ``dialler`` open connections to the others."""

CASES: Final = (
    "test_a_leader_is_elected_and_another_one_when_it_dies",
    "test_what_a_leader_of_each_language_commits_is_the_same_on_all",
    "test_leadership_goes_to_the_other_language_and_back",
    "test_a_leader_of_each_language_adds_a_peer_of_the_other_that_votes",
    "test_a_leader_of_each_language_demotes_removes_and_adds_a_peer_of_the_other",
    "test_a_leader_of_each_language_removes_itself_and_is_added_again",
    "test_a_snapshot_of_each_language_is_installed_on_the_other",
    "test_each_language_is_cut_off_leading_or_not_and_comes_back",
    "test_each_language_is_killed_and_restarted",
    "test_all_go_peers_are_replaced_by_python_ones_and_back_and_no_write_is_lost",
    "test_a_peer_of_each_language_that_alone_is_up_to_date_is_elected",
)
"""The tests of the matrix: what each cluster goes through."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One cluster: a value of each axis."""

    composition: str
    release: str
    security: str
    dialler: str

    @property
    def languages(self) -> tuple[Language, ...]:
        return COMPOSITIONS[self.composition]

    def __str__(self) -> str:
        return f"{self.composition} {self.release} {self.security} {self.dialler}-dials"


def settings_of(case: str, *, is_full: bool) -> Sequence[Setting]:
    """Return all settings, or as many as it takes that every two values meet, the case included."""
    if is_full:
        return [Setting(*row) for row in product(*AXES.values())]
    return [Setting(*row[1:]) for row in _chosen() if row[0] == case]


@cache
def _chosen() -> list[tuple[str, ...]]:
    return cover_pairs({"case": CASES, **AXES})
