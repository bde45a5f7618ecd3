"""Markups of 3D Slicer: where the points lie, and back without loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pytest

from monai_tavr.cli import main
from monai_tavr.dicom.writer import XAHeader, write_xa
from monai_tavr.formats.label_json import read_label_json
from monai_tavr.formats.slicer_markups import VolumeGrid, label_from_markups, markups_from_label
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointState
from monai_tavr.label import CineLabel, ImageInfo

GRID = VolumeGrid(spacing=(0.3, 0.4, 50.0))
IMAGE = ImageInfo(rows=100, columns=200, number_of_frames=5, spacing=(0.2, 0.2))


def label(points: dict[int, dict[str, tuple[float, float] | None]]) -> CineLabel:
    frames = tuple(Keypoints.from_points(TAVR11, p, frame=f) for f, p in points.items())
    return CineLabel(image=IMAGE, frames=frames, spread={(3, "CP"): 2.25})


def node(*points: dict[str, Any], system: str = "LPS") -> dict[str, Any]:
    return {"markups": [{"type": "Fiducial", "coordinateSystem": system, "controlPoints": list(points)}]}


def test_points_lie_at_pixels_times_spacing_and_at_their_frame() -> None:
    content = markups_from_label(label({3: {"CP": (10.0, 20.0), "AA1": None}, 4: {"CP": (11.0, 20.5)}}), grid=GRID)
    assert [n["name"] for n in content["markups"]] == ["anatomical", "instrumental", "contour"]
    anatomical, instrumental, contour = (n["controlPoints"] for n in content["markups"])
    assert (anatomical, contour) == ([], [])  # absent points have no place
    assert [(p["label"], p["position"]) for p in instrumental] == [("CP", [3.0, 8.0, 150.0]), ("CP", [3.3, 8.2, 200.0])]
    assert instrumental[0]["description"] == "frame 3, spread 2.2 px"
    assert {n["coordinateSystem"] for n in content["markups"]} == {"LPS"}
    json.dumps(content, allow_nan=False)


@pytest.mark.parametrize(
    ("frames", "header", "spacing"),
    [
        (4, {"imager_spacing": 0.3, "frame_time_ms": 50.0}, (0.3, 0.3, 50.0)),
        (4, {"frame_time_ms": 50.0}, (1.0, 1.0, 50.0)),
        (1, {"imager_spacing": 0.3}, (0.3, 0.3, 1.0)),
    ],
)
def test_the_grid_is_what_gdcm_makes_of_a_file(
    frames: int, header: dict[str, Any], spacing: tuple[float, ...], tmp_path: Path
) -> None:
    write_xa(tmp_path / "run.dcm", np.zeros((frames, 40, 56), np.uint8), header=XAHeader(**header))
    reader = gdcm.ImageReader()
    reader.SetFileName(str(tmp_path / "run.dcm"))
    assert reader.Read()
    image, grid = reader.GetImage(), VolumeGrid.of_file(tmp_path / "run.dcm")
    assert grid.spacing == tuple(image.GetSpacing(i) for i in range(3)) == pytest.approx(spacing)
    assert (*grid.axes[0], *grid.axes[1]) == tuple(image.GetDirectionCosines(i) for i in range(6))
    origin = [image.GetOrigin(i) for i in range(3)]
    assert grid.place(2, 3, 1) == pytest.approx([origin[0] + 2 * spacing[0], origin[1] + 3 * spacing[1], origin[2] + spacing[2]])


def test_a_tilted_grid_is_turned_back() -> None:
    grid = VolumeGrid((0.5, 0.5, 2.0), (10.0, -20.0, 30.0), ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (-1.0, 0.0, 0.0)))
    assert grid.place(4, 6, 3) == [10.0 - 6.0, -20.0 + 2.0, 30.0 - 3.0]
    assert grid.voxel(grid.place(4, 6, 3)) == pytest.approx((4, 6, 3))


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"no")
    with pytest.raises(ValueError, match="cannot read it"):
        VolumeGrid.of_file(tmp_path / "a.dcm")


def test_out_and_back() -> None:
    original = label({0: {n: (10.25 + i, 50.5 - i) for i, n in enumerate(TAVR11.names)}, 4: {"PT": (0.0, 99.0)}})
    back = label_from_markups(markups_from_label(original, grid=GRID), image=IMAGE, grid=GRID)
    assert [k.frame for k in back.frames] == [0, 4]
    for before, after in zip(original.frames, back.frames, strict=True):
        np.testing.assert_allclose(after.xy, before.xy, atol=1e-4)
    assert back.frames[1].state.tolist().count(KeypointState.UNLABELLED) == 10


def test_ras_is_the_other_way_round_and_undefined_points_are_passed_over() -> None:
    points = [
        {"label": "CP", "position": [-3.0, -8.0, 150.0]},
        {"label": "CM", "position": [0, 0, 0], "positionStatus": "undefined"},
    ]
    [frame] = label_from_markups(node(*points, system="RAS"), image=IMAGE, grid=GRID, author="Ann").frames
    assert frame.frame == 3
    np.testing.assert_allclose(frame.xy[TAVR11.index("CP")], (10.0, 20.0), atol=1e-5)
    assert not frame.visible[TAVR11.index("CM")]


def test_others_are_absent_if_asked() -> None:
    content = node({"label": "CP", "position": [3, 8, 3]})
    [frame] = label_from_markups(content, image=IMAGE, grid=VolumeGrid(), others_absent=True).frames
    assert frame.state.tolist().count(KeypointState.ABSENT) == 10


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "no markups file"),
        ({"markups": [1]}, "needs 'controlPoints'"),
        (node(system="XYZ"), "LPS or RAS"),
        (node(1), "must be an object"),  # type: ignore[arg-type]
        (node({"label": "F-1", "position": [1, 1, 1]}), "rename the control point"),
        (node({"label": "CP", "position": [1, 1, 5]}), "frame 5, but the image has 5"),
        (node({"label": "CP", "position": [200, 1, 1]}), "outside the image"),
        (node({"label": "CP", "position": [1, 1]}), "three numbers"),
        (node({"label": "CP", "position": [1, float("nan"), 1]}), "three numbers"),
        (node({"label": "CP", "position": [1, 1, 1]}, {"label": "CP", "position": [2, 1, 1.2]}), "stands twice on frame 1"),
    ],
)
def test_what_is_wrong_is_said(content: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        label_from_markups(content, image=IMAGE, grid=VolumeGrid())


def test_the_command_writes_a_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_xa(tmp_path / "run.dcm", np.zeros((4, 40, 56), np.uint8), header=XAHeader(imager_spacing=0.5, frame_time_ms=40.0))
    (tmp_path / "a.mrk.json").write_text(json.dumps(node({"label": "CP", "position": [5.0, 10.0, 120.0]})))
    (tmp_path / "b.mrk.json").write_text(json.dumps(node({"label": "PT", "position": [5.0, 10.0, 3.0 * 40]})))
    lists = [str(tmp_path / "a.mrk.json"), str(tmp_path / "b.mrk.json")]
    arguments = ["convert", *lists, str(tmp_path / "a.json"), "--image", str(tmp_path / "run.dcm")]
    assert main([*arguments, "--author", "Ann"]) == 0
    assert "2 points on 1 frame of 1 cine" in capsys.readouterr().out
    written = read_label_json(tmp_path / "a.json")
    assert written.edits[3, "CP"].author == "Ann"
    np.testing.assert_allclose(written.frame(3).xy[TAVR11.index("CP")], (10.0, 20.0), atol=1e-5)
    for content in ("{}", '{"markups": []}', "{"):
        for path in lists:
            Path(path).write_text(content)
        assert main(arguments) == 2
