"""The example of another backbone does what it says."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "timm_backbone.py"


def test_timm_backbone(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert "feature maps of [40, 80, 160, 320] channels; (1, 14, 4)" in capsys.readouterr().out
