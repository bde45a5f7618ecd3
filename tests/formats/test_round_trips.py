"""Every format of the table: what goes out comes back, and what the table says is lost is exactly what is lost."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from formats_example import SHUFFLED, cine, file_of, label, outside

from monai_tavr.formats import FORMATS, LOSSES, Format, LossWarning
from monai_tavr.formats.label_json import label_to_dict
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointState
from monai_tavr.label import CineLabel, ImageInfo

BOTH = [f for f in FORMATS.values() if f.reader and f.writer]


def without_absent(label: CineLabel) -> CineLabel:
    frames = tuple(replace(k, labelled=k.state == KeypointState.VISIBLE, score=None) for k in label.frames)
    return replace(label, frames=frames)


def only(label: CineLabel, keep: Callable[[Keypoints], bool]) -> CineLabel:
    return replace(label, frames=tuple(k for k in label.frames if keep(k)))


def with_image(label: CineLabel, **changes: object) -> CineLabel:
    image = replace(label.image, **changes)  # type: ignore[arg-type]
    return replace(label, image=image, frames=tuple(replace(k, spacing=image.spacing) for k in label.frames))


# what a label is without something, by hand
WITHOUT: dict[str, Callable[[CineLabel], CineLabel]] = {
    "absent": without_absent,
    "blank frames": lambda x: only(x, lambda k: bool(k.visible.any())),
    "unlabelled frames": lambda x: only(x, lambda k: bool(np.any(k.labelled))),
    "score": lambda x: replace(x, frames=tuple(replace(k, score=None) for k in x.frames)),
    "spread": lambda x: replace(x, spread={}),
    "typical": lambda x: replace(x, typical={}),
    "edits": lambda x: replace(x, edits={}),
    "revision": lambda x: replace(x, revision=None),
    "name": lambda x: replace(x, name=None),
    "pictures": lambda x: replace(x, pictures={}),
    "image": lambda x: with_image(
        x, number_of_frames=10, spacing=None, sop_instance_uid=None, series_instance_uid=None, study_instance_uid=None
    ),
    "cines": lambda x: x,  # this one has frames; below
}


def there_and_back(form: Format, given: list[CineLabel], folder: Path) -> tuple[list[CineLabel], list[str]]:
    """(what is read back, what the writer warned of)."""
    info = cine(folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        form.write(file_of(form, folder), given, image=info)
    assert {w.category for w in caught} <= {LossWarning}
    options = outside(form, folder, info, given)
    return form.read(file_of(form, folder), **options), [str(w.message) for w in caught]


def content(label: CineLabel) -> dict:
    return label_to_dict(label)


@pytest.mark.parametrize("form", BOTH, ids=lambda f: f.name)
def test_a_label_goes_through_every_format_and_back(form: Format, tmp_path: Path) -> None:
    given = label(cine(tmp_path).image_info)
    [back], warned = there_and_back(form, [given], tmp_path)
    if form.needs_image:  # the image is told beside the file
        assert back.image == given.image
    lost = [loss for loss in form.loses if not (loss == "image" and form.needs_image)]
    expected = given
    for loss in lost:
        changed = WITHOUT[loss](expected)
        if loss in ("name", "pictures", "edits", "image"):  # the format has its own
            back = WITHOUT[loss](back)
        assert content(changed) != content(expected) or loss in ("cines", "score"), f"{loss} says nothing of this label"
        expected = changed
    assert content(back) == content(expected)
    assert [k.spacing for k in back.frames] == [k.spacing for k in expected.frames]
    said = [LOSSES[loss] for loss in form.loses if loss != "cines"]
    assert len(warned) == bool(said)
    assert all(words in warned[0] for words in said)


@pytest.mark.parametrize("form", BOTH, ids=lambda f: f.name)
def test_places_are_those_of_the_names(form: Format, tmp_path: Path) -> None:
    """A file written in one order of points is read in another: the places follow the names."""
    given = label(cine(tmp_path).image_info)
    info = cine(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LossWarning)
        form.write(file_of(form, tmp_path), [given], image=info)
    [back] = form.read(file_of(form, tmp_path), schema=SHUFFLED, **outside(form, tmp_path, info, [given]))
    frame = next(k for k in back.frames if k.frame == 2)
    assert frame.schema.names != TAVR11.names
    for position, name in enumerate(TAVR11.names):
        np.testing.assert_allclose(frame.xy[frame.schema.index(name)], (1.25 + 8 * position, 60.5 - 5 * position), atol=1e-5)


@pytest.mark.parametrize("form", [f for f in BOTH if not f.one_cine], ids=lambda f: f.name)
def test_two_cines_stay_apart(form: Format, tmp_path: Path) -> None:
    frames = [Keypoints.from_points(TAVR11, {"PT": (1.5, 2.5), "AA1": (float(f), 3.0)}, frame=f) for f in (0, 1)]
    one = CineLabel(image=ImageInfo(rows=64, columns=96, number_of_frames=2), frames=(frames[0], frames[1]), name="a")
    two = CineLabel(image=ImageInfo(rows=32, columns=48, number_of_frames=2), frames=(frames[1],), name="b")
    back, _ = there_and_back(form, [one, two], tmp_path)
    assert [(b.name, b.image.rows, b.image.columns, [k.frame for k in b.frames]) for b in back] == [
        ("a", 64, 96, [0, 1]),
        ("b", 32, 48, [1]),
    ]
    assert back[1].frames[0].xy[TAVR11.index("AA1")].tolist() == [1.0, 3.0]
    with pytest.raises(ValueError, match="called 'a'"):
        there_and_back(form, [one, one], tmp_path / "again")


def calls(work: Callable[[], object]) -> int:
    """How many functions were called, which is the same on every machine."""
    number = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal number
        number += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return number


@pytest.mark.parametrize("form", [f for f in BOTH if "write" not in f.needs_image], ids=lambda f: f.name)
def test_thousands_of_frames_take_linear_time(form: Format, tmp_path: Path) -> None:
    """Four times the frames take four times the work; quadratic would be sixteen times."""
    points = {n: (1.0 + i, 2.0) for i, n in enumerate(TAVR11.names)}
    found = []
    for number in (10, 50, 200):  # the first imports what is needed
        image = ImageInfo(rows=64, columns=96, number_of_frames=number)
        given = CineLabel(
            image=image, frames=tuple(Keypoints.from_points(TAVR11, points, frame=f) for f in range(number)), name="a"
        )
        found.append(calls(lambda given=given, folder=tmp_path / str(number): there_and_back(form, [given], folder)))
    assert found[2] < 4.2 * found[1]


@pytest.mark.parametrize("form", FORMATS.values(), ids=lambda f: f.name)
def test_the_table_is_in_order(form: Format) -> None:
    assert FORMATS[form.name] is form
    assert set(form.loses) <= set(LOSSES)
    assert form.reader or form.writer


def test_what_a_format_cannot_do_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="BAMNet's prepared folders can be read only"):
        FORMATS["prepared"].write(tmp_path / "a", [])
    with pytest.raises(ValueError, match="holds one cine, got 2"):
        FORMATS["json"].write(tmp_path / "a.json", [None, None])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="give the image that the points were placed on"):
        FORMATS["markups"].read(tmp_path / "a.mrk.json")
    with pytest.raises(ValueError, match="reading label JSON has no option 'others_absent'"):
        FORMATS["json"].read(tmp_path / "a.json", others_absent=True)
