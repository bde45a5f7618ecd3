"""A page of suspicious labels, the worst first: one HTML file with its pictures in it, to look at and to send."""

from __future__ import annotations

import base64
import html
import io
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from monai_tavr.drawing.overlay import draw_overlay
from monai_tavr.files import replacing
from monai_tavr.keypoints import Keypoints
from monai_tavr.plausibility.finding import RULES, Finding

__all__ = ["FlaggedFrame", "draw_flagged", "write_findings_page"]

_RING = 0.022  # of the longer side: around a suspicious point

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Suspicious labels</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1100px; padding: 0 1em; color: #1c1c1c; }}
article {{ display: flex; gap: 1.5em; flex-wrap: wrap; border-top: 1px solid #ccc; padding: 1em 0; }}
img {{ width: 512px; max-width: 100%; }}
article div {{ flex: 1; min-width: 18em; }}
h2 {{ font-size: 1em; margin: 0 0 .5em; overflow-wrap: anywhere; }}
td {{ padding: .1em 1em .1em 0; vertical-align: top; }}
</style>
<h1>Suspicious labels</h1>
<p>{summary}</p>
<table>{rules}</table>
{frames}
</html>
"""


@dataclass(frozen=True, eq=False)
class FlaggedFrame:
    """A frame of which something was found.

    Attributes:
        place: file and frame, and who labelled it, in words.
        findings: what was found, the worst first.
        picture: (H, W, 3) uint8, red-green-blue; None where the image is not there.
    """

    place: str
    findings: tuple[Finding, ...]
    picture: np.ndarray | None = None


def draw_flagged(frame: np.ndarray, keypoints: Keypoints, findings: Sequence[Finding], *, zoom: int = 1) -> np.ndarray:
    """The labelled frame, with a ring around each suspicious point.

    Args:
        frame: (H, W) grey levels.
        keypoints: its label.
        findings: of this frame.
        zoom: whole factor of enlargement.

    Returns:
        (H * zoom, W * zoom, 3) uint8, red-green-blue.
    """
    named = {name for f in findings for name in f.points}
    ring = np.where([n in named for n in keypoints.schema.names], _RING * max(np.shape(frame)), np.nan)
    return draw_overlay(frame, keypoints, spread=ring, title=f"frame {keypoints.frame}", zoom=zoom)


def write_findings_page(path: str | os.PathLike[str], frames: Sequence[FlaggedFrame], *, summary: str) -> None:
    """Write the page; it appears whole or not at all.

    Args:
        path: of the HTML file.
        frames: the worst first.
        summary: what was checked, in words.
    """
    counted = Counter(f.rule for frame in frames for f in frame.findings)
    rules = "".join(
        f"<tr><td>{n}</td><td>{rule}</td><td>{html.escape(RULES[rule])}</td></tr>" for rule, n in counted.most_common()
    )
    articles = "\n".join(_article(frame) for frame in frames)
    with replacing(path) as stream:
        stream.write(_PAGE.format(summary=html.escape(summary), rules=rules, frames=articles).encode())


def _article(frame: FlaggedFrame) -> str:
    rows = "".join(f"<tr><td>{f.score:.1f}</td><td>{f.rule}</td><td>{html.escape(f.message)}</td></tr>" for f in frame.findings)
    place = html.escape(frame.place)
    picture = "" if frame.picture is None else f'<img alt="{place}" src="data:image/jpeg;base64,{_jpeg(frame.picture)}">'
    return f"<article>{picture}<div><h2>{place}</h2><table>{rows}</table></div></article>"


def _jpeg(picture: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="JPEG", quality=85)
    return base64.b64encode(stream.getvalue()).decode("ascii")
