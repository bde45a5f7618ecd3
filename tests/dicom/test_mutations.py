"""Damaged files: five hundred mutants with every run; ten thousand by ``python tests/mutations.py``."""

from __future__ import annotations

from mutations import FAULTS, run


def test_no_mutant_crashes_hangs_or_shows_a_wrong_picture() -> None:
    outcomes = list(run(range(500)))
    assert [o for o in outcomes if o[3] in FAULTS] == []
    assert sum(o[3] == "refused" for o in outcomes) > 250
    assert sum(o[3] in ("same", "changed") for o in outcomes) > 50
