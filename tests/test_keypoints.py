"""The schema and the keypoints of a frame: what they say, and every way in which they refuse."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import yaml

import monai_tavr
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema, KeypointState, Stage, load_schema

SMALL = KeypointSchema(
    name="SMALL",
    groups={"line": ("L1", "L2"), "tip": ("T",)},
    flip_pairs=(("L1", "L2"),),
    skeleton=(("L1", "T"),),
    colors={"line": "#010203"},
    titles={"tip": "A tip"},
    descriptions={"T": "the tip"},
    dicom_codes={"T": ("1", "99X", "Tip")},
)
NAN = float("nan")


# ---- the packaged schemas


def test_tavr11_is_the_papers_list():
    assert TAVR11.name == "TAVR11"
    assert dict(TAVR11.groups) == {
        "anatomical": ("AA1", "AA2", "STJ1", "STJ2"),
        "instrumental": ("CP", "CM", "CD", "CT"),
        "contour": ("PT", "FE1", "FE2"),
    }
    assert (TAVR11.num_keypoints, TAVR11.num_groups) == (11, 3)
    assert TAVR11.group_index.tolist() == [0] * 4 + [1] * 4 + [2] * 3
    assert TAVR11.flip_permutation.tolist() == [1, 0, 3, 2, 4, 5, 6, 7, 8, 10, 9]
    assert set(TAVR11.descriptions) == set(TAVR11.dicom_codes) == set(TAVR11.names)
    channels = {g: max(range(3), key=lambda i, c=c: int(c[1 + 2 * i : 3 + 2 * i], 16)) for g, c in TAVR11.colors.items()}
    assert channels == {"anatomical": 0, "instrumental": 1, "contour": 2}  # red, green, blue


def test_authors10_is_the_authors_class_list():
    schema = load_schema("authors10")
    assert set(schema.names) == {"CP", "FE1", "FE2", "FE1_o", "FE2_o", "EC1", "EC2", "CT1", "CT2", "CD"}
    assert schema.flip_permutation[schema.index("FE1_o")] == schema.index("FE2_o")


def test_every_packaged_schema_survives_yaml():
    for name in ("tavr11", "authors10"):
        schema = load_schema(name)
        again = KeypointSchema.from_dict(yaml.safe_load(yaml.safe_dump(schema.to_dict(), sort_keys=False)), where="again")
        assert again == schema
        assert hash(again) == hash(schema)


def test_the_order_of_groups_is_part_of_a_schema():
    turned = replace(SMALL, groups={"tip": ("T",), "line": ("L1", "L2")})
    assert turned != SMALL
    assert turned.names == ("T", "L1", "L2")
    assert replace(SMALL, name="OTHER") != SMALL
    assert replace(SMALL) == SMALL


# ---- a schema


def test_lookups():
    assert SMALL.names == ("L1", "L2", "T")
    assert SMALL.group_names == ("line", "tip")
    assert SMALL.index("T") == 2
    assert SMALL.group_of("L2") == "line"
    assert SMALL.color_of("L1") == "#010203"
    assert SMALL.color_of("T") == "#ffd54f"
    with pytest.raises(ValueError, match=r"unknown point 'X'; points are \['L1', 'L2', 'T'\]"):
        SMALL.index("X")


def test_a_schema_cannot_be_changed_and_can_be_sent():
    with pytest.raises(FrozenInstanceError):
        SMALL.name = "OTHER"
    with pytest.raises(TypeError):
        SMALL.groups["new"] = ("N",)
    assert pickle.loads(pickle.dumps(SMALL)) == SMALL  # noqa: S301


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": {}}, "has no points: give at least one group"),
        ({"groups": {"line": ()}}, "has no points"),
        ({"groups": {"line": ("L1", "L2", "T"), "none": ()}}, "group 'none' has no points; leave it out"),
        ({"groups": {"line": ("L1", "L2", "T"), "tip": ("T",)}}, "point 'T' stands in more than one place"),
        ({"groups": {"line": ("L1", "L2", "T", "L 4")}}, "'L 4' is not a name; use letters"),
        ({"groups": {"a b": ("L1", "L2", "T")}}, "'a b' is not a name"),
        ({"flip_pairs": (("L1", "X"),)}, "flip_pairs names the unknown point 'X'"),
        ({"flip_pairs": (("L1", "L1"),)}, "flip_pairs entry .* is not a pair of two different points"),
        ({"flip_pairs": (("L1", "L2"), ("L2", "T"))}, "a point stands in two flip_pairs"),
        ({"chains": (("L1", "L2"),)}, "chains entry .* is not a row of three or more different points"),
        ({"chains": (("L1", "L2", "L1"),)}, "chains entry .* is not a row"),
        ({"chains": (("L1", "L2", "X"),)}, "chains names the unknown point 'X'"),
        ({"optional": ("X",)}, "optional names the unknown point 'X'"),
        ({"skeleton": (("L1", "L2", "T"),)}, "skeleton entry .* is not a pair"),
        ({"skeleton": (("L1", "X"),)}, "skeleton names the unknown point 'X'"),
        ({"descriptions": {"X": "?"}}, "descriptions names the unknown point 'X'"),
        ({"dicom_codes": {"X": ("1", "2", "3")}}, "dicom_codes names the unknown point 'X'"),
        ({"colors": {"T": "#000000"}}, r"colors names the unknown group 'T'; groups are \['line', 'tip'\]"),
        ({"titles": {"T": "?"}}, "titles names the unknown group 'T'"),
        ({"stages": (Stage("a", "A", ("tap",)),)}, r"stage 'a' names the unknown group 'tap'; groups are \['line', 'tip'\]"),
        ({"stages": (Stage("a", "A", ()),)}, "stage 'a' allows no group; leave it out"),
        ({"stages": (Stage("a", "A", ("tip",)), Stage("a", "B", ("line",)))}, "stage 'a' stands in more than one place"),
        ({"stages": (Stage("any", "A", ("tip",)),)}, "stage 'any' stands for no stage in particular"),
        ({"stages": (Stage("a b", "A", ("tip",)),)}, "'a b' is not a name"),
    ],
)
def test_a_schema_refuses_what_does_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)


def test_a_users_own_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("groups:\n  only:\n    points: [A, B]\nflip_pairs: [[A, B]]\n")
    schema = load_schema(path)
    assert (schema.name, schema.names, schema.flip_pairs) == ("mine", ("A", "B"), (("A", "B"),))
    assert load_schema(str(path)) == schema
    assert load_schema(schema) is schema
    assert load_schema("TAVR11") == TAVR11


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "expected a mapping with 'name' and 'groups', got list"),
        ("groups: {g: {points: [A]}}\ncolour: red", "unknown key 'colour'; known keys are"),
        ("name: X", "'groups' must map each group's name to"),
        ("groups: [A, B]", "'groups' must map each group's name to"),
        ("groups: {g: [A, B]}", "'groups' must map each group's name to"),
        ("groups: {g: {points: [A, A]}}", "point 'A' stands in more than one place"),
        ("groups: {g: {points: [A, B]}}\nflip_pairs: [[A]]", "not enough values"),
        ("groups: {g: {points: [A]}}\ndicom_codes: {A: [1]}", "index out of range"),
        ("groups: {g: {points: 3}}", "not iterable"),
        ("groups: {g: {points: [A]}}\nstages: {a: [g]}", r"stages\[0\] must be {id: ..., title: ..., groups: \[...\]}, got 'a'"),
        ("groups: {g: {points: [A]}}\nstages: [{id: a}]", r"stages\[0\] must be"),
        ("groups: {g: {points: [A]}}\nstages: [{id: a, groups: g}]", "'groups' must be a list of names of groups, got 'g'"),
        ("groups: {g: {points: [A]}}\noptional: A", "optional must be a list of names of points, got 'A'"),
        ("groups: {", "not valid YAML"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        load_schema(path)
    assert str(path) in str(caught.value)


def test_stages_of_the_procedure():
    assert [s.id for s in TAVR11.stages] == ["survey", "crossing", "deployment", "follow-up"]
    assert TAVR11.stages[1].title == "Crossing, positioning"
    assert TAVR11.groups_at("crossing") == ("anatomical", "instrumental")
    assert TAVR11.groups_at("any") is None
    with pytest.raises(ValueError, match=r"no stage 'before'; stages of AUTHORS10 are \['any'\]"):
        load_schema("authors10").groups_at("before")
    backwards = replace(SMALL, stages=(Stage("late", "Late", ("tip", "line")),))
    assert backwards.groups_at("late") == ("line", "tip")


def test_chains_and_optional_points_are_read_and_written():
    assert (TAVR11.chains, TAVR11.optional) == ((("CP", "CM", "CD", "CT"),), ("PT",))
    assert (SMALL.chains, SMALL.optional) == ((), ())  # a schema need not have them
    more = replace(SMALL, chains=(("L1", "L2", "T"),), optional=("T",))
    assert KeypointSchema.from_dict(more.to_dict()) == more != SMALL
    assert pickle.loads(pickle.dumps(more)) == more  # noqa: S301 - our own bytes


def test_stages_and_ancestors_are_read_and_written(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("extends: OLD\ngroups: {g: {points: [A]}}\nstages:\n  - {id: 1, groups: [g]}\n")
    schema = load_schema(path)
    assert (schema.stages, schema.extends) == ((Stage("1", "1", ("g",)),), ("OLD",))
    assert [schema.reads(name) for name in ("mine", "OLD", "TAVR11")] == [True, True, False]
    assert KeypointSchema.from_dict(schema.to_dict()) == schema
    assert pickle.loads(pickle.dumps(schema)) == schema  # noqa: S301 - our own bytes
    assert replace(schema, stages=()) != schema


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match=r"no schema 'tavr12': give one of \['authors10', 'tavr11'\] or the path of a YAML file"):
        load_schema("tavr12")


# ---- the keypoints of a frame


def test_a_frame_in_another_schema():
    k = Keypoints(
        SMALL, [[1, 2], [np.nan] * 2, [5, 6]], score=[0.9, 0.1, 0.8], labelled=[True, True, True], frame=3, spacing=(1, 2)
    )
    other = KeypointSchema("OTHER", {"tip": ("T", "NEW"), "line": ("L2",)})
    moved = k.under(other)
    assert moved.state.tolist() == [KeypointState.VISIBLE, KeypointState.UNLABELLED, KeypointState.ABSENT]
    assert moved.xy[0].tolist() == [5, 6]
    assert moved.score.tolist() == pytest.approx([0.8, 0, 0.1])
    assert (moved.schema, moved.frame, moved.spacing) == (other, 3, (1, 2))
    assert replace(k, score=None).under(other).score is None
    assert Keypoints.from_points(SMALL, {"T": (5, 6)}).under(other).state.tolist() == [1, -1, -1]


def test_the_three_states():
    k = Keypoints.from_points(SMALL, {"L1": (1.5, 2.5), "L2": None}, frame=4, spacing=(0.3, 0.4))
    assert k.state.tolist() == [KeypointState.VISIBLE, KeypointState.ABSENT, KeypointState.UNLABELLED]
    assert k.visible.tolist() == [True, False, False]
    assert k.labelled.tolist() == [True, True, False]
    assert k.xy[0].tolist() == [1.5, 2.5]
    assert np.isnan(k.xy[1:]).all()
    assert (k.frame, k.spacing, k.score) == (4, (0.3, 0.4), None)
    assert k.xy.dtype == np.float32
    assert k.state.dtype == np.int8


@pytest.mark.parametrize(
    ("points", "state"),
    [
        ({"L1": (1, 1), "L2": None}, KeypointState.VISIBLE),
        ({"L1": (1, 1)}, KeypointState.VISIBLE),
        ({"L1": None, "L2": None}, KeypointState.ABSENT),
        ({"L1": None}, KeypointState.UNLABELLED),
        ({}, KeypointState.UNLABELLED),
    ],
)
def test_the_state_of_a_group_follows_from_its_points(points, state):
    assert Keypoints.from_points(SMALL, points).group_state[0] == state


def test_everything_is_labelled_unless_said_otherwise():
    assert Keypoints(schema=SMALL, xy=np.full((3, 2), NAN)).state.tolist() == [0, 0, 0]


def test_keep_makes_the_others_absent_and_leaves_the_scores():
    k = Keypoints(schema=SMALL, xy=[[1, 1], [2, 2], [3, 3]], score=[0.9, 0.8, 0.7])
    kept = k.keep([True, False, True])
    assert kept.state.tolist() == [1, 0, 1]
    assert kept.score.tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert k.visible.all()


def test_arrays_are_copies_and_read_only():
    xy = np.zeros((3, 2))
    k = Keypoints(schema=SMALL, xy=xy, score=np.zeros(3))
    xy[:] = 7
    assert (k.xy == 0).all()
    for array in (k.xy, k.score, k.labelled):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_unknown_points_are_refused():
    with pytest.raises(ValueError, match="unknown point 'X'"):
        Keypoints.from_points(SMALL, {"X": (1, 1)})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"xy": np.zeros((2, 2))}, r"xy has shape \(2, 2\); schema 'SMALL' needs \(3, 2\)"),
        ({"xy": np.zeros((3, 3))}, r"xy has shape \(3, 3\)"),
        ({"xy": [[1, NAN], [1, 1], [1, 1]]}, "finite or NaN in both coordinates"),
        ({"xy": [[1, np.inf], [1, 1], [1, 1]]}, "finite or NaN in both coordinates"),
        ({"score": [0.5, 0.5]}, r"score has shape \(2,\); schema 'SMALL' needs \(3,\)"),
        ({"score": [0.5, 0.5, 1.01]}, r"scores must lie in \[0, 1\]"),
        ({"score": [0.5, 0.5, NAN]}, r"scores must lie in \[0, 1\]"),
        ({"labelled": [True]}, r"labelled has shape \(1,\)"),
        ({"labelled": [True, False, True]}, "point 'L2' is unlabelled but has coordinates"),
        ({"frame": -1}, "frame is 0-based and not negative, got -1"),
        ({"spacing": (0.3, 0.0)}, r"spacing must be positive millimetres \(x, y\) or None"),
        ({"spacing": (0.3, NAN)}, "spacing must be positive millimetres"),
    ],
)
def test_keypoints_refuse_what_does_not_fit(fields, message):
    with pytest.raises(ValueError, match=message):
        Keypoints(**{"schema": SMALL, "xy": np.zeros((3, 2))} | fields)


def test_the_package_offers_the_data_type():
    offered = {"KeypointSchema", "KeypointState", "Keypoints", "Stage", "TAVR11", "load_schema"}
    assert {name for name in monai_tavr.__all__ if name in vars(monai_tavr.keypoints)} == offered
    assert all(getattr(monai_tavr, name) is getattr(monai_tavr.keypoints, name) for name in offered)
