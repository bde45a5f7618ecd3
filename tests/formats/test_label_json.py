"""The label file: what it holds, that it comes back the same, and that every fault is named with file, frame and point."""

from __future__ import annotations

import copy
import json
import os
import stat
from dataclasses import replace

import numpy as np
import pytest

from monai_tavr.files import write_json_atomically
from monai_tavr.formats.label_json import SCHEMA_ID, label_from_dict, label_to_dict, read_label_json, write_label_json
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema, KeypointState, load_schema
from monai_tavr.label import CineLabel, ImageInfo, PointEdit, Revision

IMAGE = ImageInfo(
    rows=512,
    columns=256,
    number_of_frames=60,
    spacing=(0.3, 0.4),
    sop_instance_uid="1.2.3",
    series_instance_uid="1.2",
    study_instance_uid="1",
)
CONTENT = {
    "schema": "monai-tavr/keypoints/1",
    "keypoints": "TAVR11",
    "image": {"rows": 512, "columns": 256, "number_of_frames": 60, "spacing": [0.3, 0.4], "sop_instance_uid": "1.2.3"},
    "frames": [
        {
            "frame": 7,
            "points": {
                "AA1": {
                    "x": 1.5,
                    "y": 2.25,
                    "state": "visible",
                    "source": "annotator",
                    "author": "A",
                    "time": "2026-01-31T12:00:00Z",
                },
                "AA2": {"state": "absent"},
            },
        }
    ],
}


def changed(change):
    content = copy.deepcopy(CONTENT)
    change(content)
    return content


# ---- content


def test_a_person_label_is_written_as_documented():
    keypoints = Keypoints.from_points(TAVR11, {"AA1": (1.23456, 2), "AA2": None}, frame=7, spacing=(0.3, 0.4))
    edit = PointEdit(source="annotator", author="A", time="2026-01-31T12:00:00+00:00")
    content = label_to_dict(CineLabel(IMAGE, (keypoints,), {(7, "AA1"): edit}))
    assert content == {
        "schema": SCHEMA_ID,
        "keypoints": "TAVR11",
        "image": {
            "columns": 256,
            "number_of_frames": 60,
            "rows": 512,
            "series_instance_uid": "1.2",
            "sop_instance_uid": "1.2.3",
            "spacing": [0.3, 0.4],
            "study_instance_uid": "1",
        },
        "frames": [
            {
                "frame": 7,
                "points": {
                    "AA1": {
                        "x": 1.235,
                        "y": 2.0,
                        "state": "visible",
                        "source": "annotator",
                        "author": "A",
                        "time": "2026-01-31T12:00:00+00:00",
                    },
                    "AA2": {"state": "absent"},
                },
            }
        ],
    }


def test_a_prediction_keeps_scores_of_absent_points_too():
    xy = np.full((11, 2), np.nan)
    xy[0] = 5, 6
    k = Keypoints(schema=TAVR11, xy=xy, score=np.linspace(0, 1, 11))
    points = label_to_dict(CineLabel(IMAGE, (k,)))["frames"][0]["points"]
    assert points["AA1"] == {"x": 5.0, "y": 6.0, "state": "visible", "score": 0.0}
    assert points["FE2"] == {"state": "absent", "score": 1.0}


def test_it_comes_back_the_same(tmp_path):
    full = Keypoints(schema=TAVR11, xy=np.arange(22).reshape(11, 2) / 4, score=np.full(11, 0.5), frame=3, spacing=(0.3, 0.4))
    half = Keypoints.from_points(TAVR11, {"CT": (1, 2), "PT": None}, frame=1, spacing=(0.3, 0.4))
    edits = {(3, "AA1"): PointEdit("model", author="m"), (1, "PT"): PointEdit("annotator", time="2026-01-31T12:00:00+01:00")}
    label = CineLabel(IMAGE, (full, half), edits, {(3, "AA1"): 1.25, (3, "CT"): 0.0})
    write_label_json(tmp_path / "deep" / "a.json", label)
    back = read_label_json(tmp_path / "deep" / "a.json")
    assert back.image == IMAGE
    assert [k.frame for k in back.frames] == [1, 3]
    for a, b in zip(back.frames, (half, full), strict=True):
        np.testing.assert_array_equal(a.xy, b.xy)
        np.testing.assert_array_equal(a.state, b.state)
        np.testing.assert_array_equal(a.score, b.score)
        assert a.spacing == b.spacing
    assert dict(back.edits) == edits
    assert dict(back.spread) == {(3, "AA1"): 1.25, (3, "CT"): 0.0}


def test_whether_a_frame_is_typical_is_said_of_the_frame_and_only_where_it_is_known():
    frames = tuple(Keypoints.from_points(TAVR11, {"CT": None}, frame=f) for f in (1, 2, 3))
    written = label_to_dict(CineLabel(IMAGE, frames, typical={1: True, 3: False}))
    assert [f.get("typical") for f in written["frames"]] == [True, None, False]
    back = label_from_dict(written)
    assert dict(back.typical) == {1: True, 3: False}
    assert [dict(part.typical) for part in back.apart()] == [{1: True}, {}, {3: False}]
    assert dict(CineLabel.joined(back.apart()).typical) == {1: True, 3: False}
    for bad in (0, "false", []):
        with pytest.raises(ValueError, match=r"label: frames\[1\].typical must be true or false, got "):
            label_from_dict({**written, "frames": [written["frames"][0], {**written["frames"][1], "typical": bad}]})


def test_the_spread_of_a_visible_point_stands_beside_its_place():
    k = Keypoints.from_points(TAVR11, {"CT": (1, 2), "PT": None}, frame=4)
    points = label_to_dict(CineLabel(IMAGE, (k,), spread={(4, "CT"): 1.23456, (4, "PT"): 9.0}))["frames"][0]["points"]
    assert points["CT"] == {"x": 1.0, "y": 2.0, "state": "visible", "spread": 1.235}
    assert points["PT"] == {"state": "absent"}


def test_another_schema_is_named_when_reading():
    schema = KeypointSchema(name="ONE", groups={"g": ("A",)})
    label = CineLabel(ImageInfo(rows=2, columns=2), (Keypoints.from_points(schema, {"A": (1, 1)}),))
    content = label_to_dict(label)
    assert content["keypoints"] == "ONE"
    assert label_from_dict(content, schema=schema).frames[0].xy.tolist() == [[1, 1]]


def test_a_label_of_another_schema_is_refused_even_without_points():
    content = changed(lambda c: (c.update(keypoints="AUTHORS10"), c["frames"].clear()))
    with pytest.raises(ValueError, match="keypoints of schema 'AUTHORS10', expected 'TAVR11'"):
        label_from_dict(content, where="a.json")
    assert label_from_dict(content, schema=load_schema("authors10")).frames == ()


def test_a_label_from_before_a_group_was_added_leaves_its_points_unlabelled():
    grown = replace(TAVR11, name="GROWN", extends=("TAVR11",), groups={"wire": ("GW",), **TAVR11.groups})
    label = CineLabel(IMAGE, (Keypoints.from_points(TAVR11, {"AA1": (3, 4), "PT": None}, frame=4),))
    (frame,) = label_from_dict(label_to_dict(label), schema=grown).frames
    assert frame.schema is grown
    assert (frame.state[0], frame.xy[1].tolist(), frame.state[grown.index("PT")]) == (KeypointState.UNLABELLED, [3, 4], 0)
    with pytest.raises(ValueError, match="keypoints of schema 'GROWN', expected 'TAVR11'"):
        label_from_dict(label_to_dict(CineLabel(IMAGE, (frame,))))


def test_missing_names_and_frames_are_unlabelled():
    label = label_from_dict(CONTENT)
    assert label.frame(7).state.tolist() == [1, 0] + [-1] * 9
    assert label.frame(7).score is None
    assert label.frame(8).state.tolist() == [-1] * 11
    assert label.frame(8).spacing == (0.3, 0.4)
    assert label.edits[7, "AA1"].author == "A"


def test_scores_count_only_if_all_labelled_points_have_one():
    def half(content):
        content["frames"][0]["points"]["AA2"]["score"] = 0.1

    assert label_from_dict(changed(half)).frames[0].score is None

    def whole(content):
        half(content)
        content["frames"][0]["points"]["AA1"]["score"] = 0.9

    assert label_from_dict(changed(whole)).frames[0].score[:3].tolist() == pytest.approx([0.9, 0.1, 0.0])


def test_optional_parts_may_be_null_or_missing():
    def bare(content):
        content["image"] = {"rows": 4, "columns": 5, "spacing": None, "sop_instance_uid": None}
        content["frames"] = [{"frame": 0, "points": {"CT": {"state": "visible", "x": 1, "y": 2, "score": None}}}]
        del content["keypoints"]

    label = label_from_dict(changed(bare))
    assert label.image == ImageInfo(rows=4, columns=5)
    assert label.frames[0].spacing is None


REVISION = {"number": 3, "author": "A", "time": "2026-01-31T12:00:00+01:00", "base": 2, "model": "ab" * 32}


@pytest.mark.parametrize("left_out", [(), ("base",), ("base", "model")])
def test_a_version_says_which_it_is(tmp_path, left_out):
    revision = {k: v for k, v in REVISION.items() if k not in left_out}
    label = label_from_dict(changed(lambda c: c.update(revision=revision)))
    assert label.revision == Revision(**revision)
    write_label_json(tmp_path / "a.json", label)
    assert json.loads((tmp_path / "a.json").read_text())["revision"] == revision
    assert read_label_json(tmp_path / "a.json").revision == label.revision
    assert "revision" not in label_to_dict(label_from_dict(changed(lambda c: c.update(revision=None))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"number": 0}, "revision: number must be a whole number of at least 1, got 0"),
        ({"number": True}, "revision: number must be a whole number"),
        ({"base": -1}, "revision: base must be a whole number of at least 0, got -1"),
        ({"author": None}, "revision: author must be text, got None"),
        ({"time": "yesterday"}, "revision: time must be ISO 8601, got 'yesterday'"),
        ({"time": "2026-01-31T12:00:00"}, "revision: time must state its zone"),
        ({"model": 5}, "revision: model must be text, got 5"),
        ({"more": 1}, "revision: unknown name 'more'"),
    ],
)
def test_a_fault_of_the_revision_is_named(change, message):
    with pytest.raises(ValueError, match=f"^a.json: {message}"):
        label_from_dict(changed(lambda c: c.update(revision={**REVISION, **change})), where="a.json")


def test_a_revision_has_number_author_and_time():
    for name in ("number", "author", "time"):
        part = {k: v for k, v in REVISION.items() if k != name}
        with pytest.raises(ValueError, match=f"revision: '{name}' is missing"):
            label_from_dict(changed(lambda c, part=part: c.update(revision=part)))
    with pytest.raises(ValueError, match="revision: expected an object, got int"):
        label_from_dict(changed(lambda c: c.update(revision=3)))


# ---- faults


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(schema="other/1"), "a.json: 'schema' is 'other/1'; this version reads 'monai-tavr/keypoints/1'"),
        (lambda c: c.pop("image"), "a.json: 'image' is missing"),
        (lambda c: c.update(extra=1), "a.json: unknown name 'extra'"),
        (lambda c: c.update(frames={}), "a.json: 'frames' must be a list, got dict"),
        (lambda c: c.update(image=[]), "a.json: image: expected an object, got list"),
        (lambda c: c["image"].pop("rows"), "a.json: image: 'rows' is missing"),
        (lambda c: c["image"].update(rows=0), "a.json: image.rows must be a whole number of at least 1, got 0"),
        (lambda c: c["image"].update(rows=True), "image.rows must be a whole number"),
        (lambda c: c["image"].update(columns=2.5), "image.columns must be a whole number of at least 1, got 2.5"),
        (
            lambda c: c["image"].update(spacing=[0.3]),
            r"image.spacing must be \[x, y\] millimetres per pixel or null, got \[0.3\]",
        ),
        (lambda c: c["image"].update(spacing=[0.3, "0.3"]), "image.spacing must be a finite number, got '0.3'"),
        (lambda c: c["image"].update(spacing=[0.3, -1]), "image.spacing must be positive"),
        (lambda c: c["image"].update(sop_instance_uid=5), "image.sop_instance_uid must be text, got 5"),
        (lambda c: c["image"].update(name="x"), "image: unknown name 'name'"),
        (lambda c: c["frames"].append(3), r"a.json: frames\[1\]: expected an object, got int"),
        (lambda c: c["frames"].append({"frame": 1}), r"a.json: frames\[1\]: 'points' is missing"),
        (lambda c: c["frames"][0].update(frame=-1), r"frames\[0\].frame must be a whole number of at least 0, got -1"),
        (lambda c: c["frames"][0].update(frame=60), "a.json: frame 60 is outside the image, which has 60 frame"),
        (lambda c: c["frames"].append(c["frames"][0]), "a.json: frame 7 stands more than once"),
        (lambda c: c["frames"][0].update(points=[]), "a.json: frame 7: expected an object, got list"),
        (lambda c: c["frames"][0]["points"].update(XX={"state": "absent"}), "a.json: frame 7: unknown name 'XX'"),
    ],
)
def test_a_fault_of_file_or_frame_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        label_from_dict(changed(change), where="a.json")


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ("visible", "expected an object, got str"),
        ({"x": 1, "y": 2}, "'state' is missing"),
        ({"state": "hidden"}, r"'state' must be one of \['visible', 'absent'\], got 'hidden'; leave an unlabelled point out"),
        ({"state": "visible", "x": 1}, "a visible point needs x and y"),
        ({"state": "visible", "x": "1", "y": 2}, "x must be a finite number, got '1'"),
        ({"state": "visible", "x": 1, "y": float("nan")}, "y must be a finite number, got nan"),
        ({"state": "visible", "x": True, "y": 2}, "x must be a finite number, got True"),
        ({"state": "visible", "x": 10**400, "y": 2}, "x must be a finite number, got 1000"),
        ({"state": "visible", "x": 1, "y": 1e39}, r"y must be a finite number, got 1e\+39"),
        ({"state": "absent", "x": 1}, "an absent point has no x, y and spread"),
        ({"state": "absent", "spread": 1}, "an absent point has no x, y and spread"),
        ({"state": "visible", "x": 1, "y": 2, "spread": -0.5}, "spread must not be negative, got -0.5"),
        ({"state": "visible", "x": 1, "y": 2, "spread": "wide"}, "spread must be a finite number, got 'wide'"),
        ({"state": "absent", "score": 1.5}, r"score must lie in \[0, 1\], got 1.5"),
        ({"state": "absent", "score": "high"}, "score must be a finite number"),
        ({"state": "absent", "source": "oracle"}, r"source must be one of \['model', 'annotator'\], got 'oracle'"),
        ({"state": "absent", "source": "model", "time": "noon"}, "time must be ISO 8601, got 'noon'"),
        ({"state": "absent", "source": "model", "time": "2026-01-31T12:00:00"}, "time must state its zone"),
        ({"state": "absent", "source": "model", "time": 5}, "time must be text, got 5"),
        ({"state": "absent", "source": "model", "author": 5}, "author must be text, got 5"),
        ({"state": "absent", "author": "A"}, "'author' and 'time' need a 'source'"),
        ({"state": "absent", "colour": "red"}, "unknown name 'colour'"),
    ],
)
def test_a_fault_of_a_point_is_named_with_its_frame(point, message):
    content = changed(lambda c: c["frames"][0]["points"].update(CP=point))
    with pytest.raises(ValueError, match=message) as caught:
        label_from_dict(content, where="a.json")
    assert str(caught.value).startswith("a.json: frame 7, point CP")


@pytest.mark.parametrize("text", ["", "{", "\xff", "[" * 200000])
def test_what_is_no_json_is_named(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"a\.json: not a JSON file"):
        read_label_json(path)


def test_a_point_given_twice_is_not_dropped(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"frames": [{"points": {"AA1": {"state": "absent"}, "AA1": {"state": "absent"}}}]}')
    with pytest.raises(ValueError, match=r"a\.json: not a JSON file: the name 'AA1' stands twice"):
        read_label_json(path)


def test_a_list_is_no_label(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"a\.json: expected an object, got list"):
        read_label_json(path)


def test_frames_of_two_schemas_do_not_mix():
    other = Keypoints.from_points(load_schema("authors10"), {}, frame=1)
    with pytest.raises(ValueError, match="different keypoint schemas"):
        CineLabel(IMAGE, (Keypoints.from_points(TAVR11, {}), other))


# ---- writing


def test_writing_is_atomic(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_json_atomically(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_atomically(path, {"a": float("nan")})
    with pytest.raises(TypeError):
        write_json_atomically(path, {"a": object()})

    def full_disk(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_json_atomically(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_the_file_can_be_read_by_others(tmp_path):
    write_json_atomically(tmp_path / "a.json", [])
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o644
    assert (tmp_path / "a.json").read_text() == "[]\n"


def test_a_label_comes_apart_and_together_again():
    image = ImageInfo(rows=64, columns=64, number_of_frames=3)
    frames = tuple(Keypoints.from_points(TAVR11, {"AA1": (f, 2.0), "AA2": None}, frame=f) for f in (0, 2))
    edits = {(f, name): PointEdit("model", author=f"model {f}") for f in (0, 2) for name in ("AA1", "AA2")}
    label = CineLabel(image=image, frames=frames, edits=edits, spread={(2, "AA1"): 1.5})
    first, second = label.apart()
    assert ([k.frame for k in first.frames], dict(first.spread), set(first.edits)) == ([0], {}, {(0, "AA1"), (0, "AA2")})
    assert second.spread == {(2, "AA1"): 1.5}
    assert label_to_dict(CineLabel.joined([second, first])) == label_to_dict(label)
    with pytest.raises(ValueError, match="frame 0 stands more than once"):
        CineLabel.joined([first, first])
    with pytest.raises(ValueError, match="no labels to join"):
        CineLabel.joined([])
