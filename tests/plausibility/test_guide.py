"""Every rule of the guide on a frame that breaks it and nothing else."""

from __future__ import annotations

import pytest
from plausibility_example import IMAGE, frame_of

from monai_tavr.phantom.landmarks import MARGIN
from monai_tavr.plausibility import NO_STATISTICS, shipped_statistics
from monai_tavr.plausibility.guide import BORDER, guide_findings


def found(keypoints, statistics=None):
    return list(guide_findings(keypoints, IMAGE, statistics=statistics or shipped_statistics()))


def test_a_good_frame_breaks_nothing():
    assert found(frame_of()) == []
    assert found(frame_of(), NO_STATISTICS) == []
    assert BORDER == MARGIN  # the phantom's labels follow the same guide


@pytest.mark.parametrize(
    ("place", "rule", "score"),
    [
        ((4.5, 350), "border", 2 - 5 / 10.24),
        ((300, 506.5), "border", 2 - 5 / 10.24),
        ((10, 350), None, None),  # 10.5 pixels from the edge: 2 % of 512 are 10.24
        ((-1, 350), "outside", 10),
        ((300, 511.6), "outside", 10),
    ],
)
def test_points_at_the_border(place, rule, score):
    (finding,) = found(frame_of({"PT": place})) or (None,)
    if rule is None:
        assert finding is None
    else:
        assert (finding.rule, finding.points, finding.score) == (rule, ("PT",), pytest.approx(score))


def test_two_names_on_one_place():
    (finding,) = found(frame_of({"PT": (280.6, 349)}))
    assert (finding.rule, set(finding.points)) == ("duplicate", {"PT", "FE1"})
    assert found(frame_of({"PT": (281.2, 349)})) == []  # more than a pixel apart


def test_ends_are_those_of_the_image():
    (finding,) = found(frame_of({"FE1": (334, 284), "FE2": (280, 349)}))
    assert (finding.rule, finding.points) == ("swapped", ("FE1", "FE2"))
    assert finding.message == "FE1 lies to the right of FE2: FE1 is the end on the image's left"
    # 3 to the right and 4 down: the nearer to upright, the less it says
    (finding,) = found(frame_of({"FE1": (303, 300), "FE2": (300, 304)}))
    assert finding.score == pytest.approx(1 + 9 * 3 / 5)


def test_a_chain_does_not_turn_back():
    findings = found(frame_of({"CM": (293, 290), "CD": (260, 255)}))
    assert [(f.rule, f.points) for f in findings] == [("order", ("CM", "CD", "CP")), ("order", ("CD", "CT", "CM"))]
    # straight back: CP to CM goes down, CM to CD up
    straight = {"CP": (300, 100), "CM": (300, 200), "CD": (300, 150), "CT": (300, 300)}
    assert [f.score for f in found(frame_of(straight))] == pytest.approx([8, 8])
    bent = {"CP": (250, 100), "CM": (300, 200), "CD": (360, 200), "CT": (410, 150)}  # 63 and 45 degrees
    assert found(frame_of(bent)) == []


def test_a_group_goes_together():
    (finding,) = found(frame_of(without="STJ1 STJ2"))
    assert (finding.rule, finding.points, finding.score) == ("incomplete", ("STJ1", "STJ2"), 4)
    assert finding.message == "STJ1, STJ2 not labelled, though other points of 'Aortic root' are there: they go together"
    (finding,) = found(frame_of({"STJ2": None}))
    assert (finding.points, "STJ2 absent" in finding.message) == (("STJ2",), True)
    assert found(frame_of(dict.fromkeys(["AA1", "AA2", "STJ1", "STJ2"]))) == []
    assert found(frame_of(without="AA1 AA2 STJ1 STJ2")) == []
    assert found(frame_of({"PT": None})) == []  # no pigtail


@pytest.mark.parametrize("statistics", [None, NO_STATISTICS])
def test_a_point_may_be_absent_where_it_lies_outside(statistics):
    top = {"CP": None, "CM": (260, 40), "CD": (293, 75), "CT": (336, 121)}
    assert found(frame_of(top), statistics) == []
    middle = {"CP": None, "CM": (260, 240), "CD": (293, 275), "CT": (336, 321)}
    assert [f.points for f in found(frame_of(middle), statistics)] == [("CP",)]
    assert [f.points for f in found(frame_of(top, without="CP"), statistics)] == [("CP",)]  # nobody looked
