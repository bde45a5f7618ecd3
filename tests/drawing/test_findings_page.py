"""The page of suspicious labels stands alone and says what was found."""

from __future__ import annotations

import numpy as np
from plausibility_example import frame_of

from monai_tavr.drawing.findings_page import FlaggedFrame, draw_flagged, write_findings_page
from monai_tavr.plausibility import Finding

JUMP = Finding(3, ("AA1",), "jump", 2.34, "AA1 stands <elsewhere>")
GREY = np.full((512, 512), 90, np.uint8)


def test_a_ring_marks_the_suspicious_point_only():
    ringed = draw_flagged(GREY, frame_of(frame=3), [JUMP])
    plain = draw_flagged(GREY, frame_of(frame=3), [])
    assert ringed.shape == (512, 512, 3)
    rows, columns = np.nonzero((ringed != plain).any(axis=2))
    assert np.hypot(rows - 331, columns - 256).min() > 9
    assert np.hypot(rows - 331, columns - 256).max() < 13.5  # the ring has a radius of 11.3 pixels


def test_the_page_holds_pictures_and_words(tmp_path):
    page = tmp_path / "page.html"
    picture = draw_flagged(GREY, frame_of(frame=3), [JUMP])
    write_findings_page(page, [FlaggedFrame("a.json frame 3", (JUMP,), picture), FlaggedFrame("b", (JUMP,))], summary="1 & 2")
    text = page.read_text()
    assert text.count('src="data:image/jpeg;base64,') == 1
    assert text.count("AA1 stands &lt;elsewhere&gt;") == 2
    assert "<p>1 &amp; 2</p>" in text
    assert "<tr><td>2</td><td>jump</td>" in text
    assert "http" not in text
