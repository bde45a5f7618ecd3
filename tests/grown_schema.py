"""TAVR11 with a fourth group, two points of a guidewire, as a user makes it: a copy of the YAML with a few lines more."""

from __future__ import annotations

from pathlib import Path

__all__ = ["GUIDEWIRE", "write_grown_schema"]

GUIDEWIRE = ("GW1", "GW2")
_TAVR11 = Path(__file__).parents[1] / "monai_tavr" / "schemas" / "tavr11.yaml"
_GROUP = """  guidewire: # between the others: rows are found by name
    color: "#ffb020"
    title: Guidewire
    points: [GW1, GW2]
"""
_STAGE = """  - {id: wiring, title: Guidewire in, groups: [anatomical, guidewire]}
"""


def write_grown_schema(path: Path) -> Path:
    """Write the YAML to ``path``."""
    text = _TAVR11.read_text(encoding="utf-8")
    changes = {
        "name: TAVR11\n": "name: GROWN13\nextends: TAVR11\n",
        "  instrumental: # green\n": f"{_GROUP}  instrumental: # green\n",
        "stages:\n": f"stages:\n{_STAGE}",
    }
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return path
