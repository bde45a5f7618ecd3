"""Keypoints as a markups file of 3D Slicer (``.mrk.json``): a point list per group, a control point per visible point and frame.

Coordinates. Slicer reads a DICOM file through GDCM as a volume whose slices are the frames; where its voxels lie is therefore
asked of GDCM (:meth:`VolumeGrid.of_file`), and markups are written in the same system, ``LPS``: origin + x * width * row
direction + y * height * column direction + frame * step * normal. An XA cine states no position and no orientation in the
patient, so in practice the first pixel's centre lies at 0 and columns, rows and frames are the axes L, P and S. The pixel size
is ImagerPixelSpacing (0018,1164), 1 where it is missing, and the step is FrameTime (0018,1063), milliseconds in what Slicer
calls mm. Good for showing and moving points, wrong for measuring in the patient.

A markups file knows no "absent": what is not in it is unlabelled unless the caller says otherwise. Format: markups schema 1.0.3,
https://github.com/Slicer/Slicer/tree/main/Modules/Loadable/Markups/Resources/Schema
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_tavr.cine import CineInfo
from monai_tavr.files import write_json_atomically
from monai_tavr.formats.checks import LARGEST, read_json, shown
from monai_tavr.formats.table import warn_of_loss
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema
from monai_tavr.label import CineLabel, ImageInfo, PointEdit

__all__ = ["VolumeGrid", "label_from_markups", "markups_from_label", "read_markups", "write_markups"]

_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/markups-schema-v1.0.3.json#"
)
_SIGNS = {"LPS": 1.0, "RAS": -1.0, "0": -1.0, "1": 1.0}  # of x and y; numbers are older files' names


@dataclass(frozen=True)
class VolumeGrid:
    """Where Slicer puts the voxels of a file.

    Attributes:
        spacing: (x, y, frame), in what Slicer calls mm.
        origin: (L, P, S) of the first voxel's centre.
        axes: the directions of x, y and frames, three unit vectors (L, P, S).
    """

    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    axes: tuple[tuple[float, float, float], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

    @classmethod
    def of_file(cls, path: str | os.PathLike[str]) -> VolumeGrid:
        """As GDCM has it; only the header is read.

        Raises:
            ValueError: GDCM cannot read the file.
        """
        import gdcm

        reader = gdcm.Reader()
        reader.SetFileName(os.fspath(path))
        if not reader.ReadUpToTag(gdcm.Tag(0x7FE0, 0x0010)):
            raise ValueError(f"{path}: GDCM, which 3D Slicer reads DICOM with, cannot read it")
        file, helper = reader.GetFile(), gdcm.ImageHelper
        spacing, origin = helper.GetSpacingValue(file), helper.GetOriginValue(file)
        row, column = np.array(helper.GetDirectionCosinesValue(file), float).reshape(2, 3)
        return cls(_triple(spacing), _triple(origin), tuple(_triple(axis) for axis in (row, column, np.cross(row, column))))

    def place(self, x: float, y: float, frame: float) -> list[float]:
        """(L, P, S) of a pixel of a frame."""
        steps = np.multiply((x, y, frame), self.spacing)
        return [round(float(v), 6) for v in np.array(self.origin) + steps @ np.array(self.axes)]

    def voxel(self, position: Iterable[float]) -> tuple[float, float, float]:
        """(x, y, frame) of a place, not rounded."""
        x, y, frame = (np.array(self.axes) @ (np.array(list(position)) - self.origin)) / self.spacing
        return float(x), float(y), float(frame)


def _triple(values: Iterable[float]) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z


def markups_from_label(label: CineLabel, *, grid: VolumeGrid) -> dict[str, Any]:
    """The visible points of a label, JSON-ready.

    Args:
        label: native pixels, 0 = centre of the first pixel.
        grid: of the file that Slicer shows.
    """
    schema = label.frames[0].schema if label.frames else TAVR11
    points: dict[str, list[dict[str, Any]]] = {group: [] for group in schema.groups}
    for keypoints in label.frames:
        for i, name in enumerate(schema.names):
            if keypoints.visible[i]:
                x, y = (float(v) for v in keypoints.xy[i])
                position = grid.place(x, y, keypoints.frame)
                words = _words(keypoints, i, label.spread.get((keypoints.frame, name)))
                points[schema.group_of(name)].append(_control_point(f"{name}-{keypoints.frame}", name, words, position))
    return {"@schema": _SCHEMA, "markups": [_point_list(schema, group, points[group]) for group in schema.groups]}


def _words(keypoints: Keypoints, i: int, spread: float | None) -> str:
    score = [] if keypoints.score is None else [f"score {float(keypoints.score[i]):.2f}"]
    doubt = [] if spread is None else [f"spread {spread:.1f} px"]
    return ", ".join([f"frame {keypoints.frame}", *score, *doubt])


def _control_point(identity: str, name: str, words: str, position: list[float]) -> dict[str, Any]:
    return {
        "id": identity,
        "label": name,
        "description": words,
        "associatedNodeID": "",
        "position": position,
        "orientation": [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0],  # Slicer's own axes, in LPS
        "selected": True,
        "locked": False,
        "visibility": True,
        "positionStatus": "defined",
    }


def _point_list(schema: KeypointSchema, group: str, points: list[dict[str, Any]]) -> dict[str, Any]:
    first = schema.groups[group][0]
    red_green_blue = [int(schema.color_of(first)[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    return {
        "type": "Fiducial",
        "name": group,
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "fixedNumberOfControlPoints": False,
        "labelFormat": "%N-%d",
        "lastUsedControlPointNumber": len(points),
        "controlPoints": points,
        "measurements": [],
        "display": {
            "visibility": True,
            "opacity": 1.0,
            "color": red_green_blue,
            "selectedColor": red_green_blue,
            "pointLabelsVisibility": True,
            "textScale": 2.0,
            "glyphType": "CrossDot2D",
            "glyphScale": 2.0,
            "useGlyphScale": True,
            "sliceProjection": False,  # a point shows on its own frame only
        },
    }


def read_markups(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    schema: KeypointSchema = TAVR11,
    image: CineInfo,
    others_absent: bool = False,
    author: str | None = None,
) -> CineLabel:
    """The label of the point lists that were saved in Slicer (see :func:`label_from_markups`).

    Args:
        path: a markups file, or several, for Slicer saves each list to a file of its own.
        schema: control points are named after its points.
        image: what they were placed on.
        others_absent: on frames with a point, take the missing ones for absent instead of unlabelled.
        author: who placed them.

    Raises:
        ValueError: not such a file, or a control point is wrong; says which, and what to do.
        OSError: a file cannot be read.
    """
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    named = ", ".join(str(p) for p in paths)
    return label_from_markups(
        {"markups": [node for p in paths for node in _lists(read_json(p), str(p))]},
        image=image.image_info,
        grid=VolumeGrid.of_file(image.path),
        schema=schema,
        others_absent=others_absent,
        author=author,
        where=named,
    )


def write_markups(path: str | os.PathLike[str], label: CineLabel, *, image: CineInfo) -> None:
    """Write the visible points of a label for the ``image`` that Slicer will show. Raises ValueError if GDCM cannot read it."""
    warn_of_loss("markups", [label])
    write_json_atomically(path, markups_from_label(label, grid=VolumeGrid.of_file(image.path)))


def _lists(content: Any, where: str) -> list[Any]:
    if not isinstance(content, Mapping) or not isinstance(content.get("markups"), list):
        raise ValueError(f"{where}: no markups file of 3D Slicer; save the point lists as .mrk.json")
    return list(content["markups"])


def label_from_markups(
    content: Any,
    *,
    image: ImageInfo,
    grid: VolumeGrid,
    schema: KeypointSchema = TAVR11,
    others_absent: bool = False,
    author: str | None = None,
    where: str = "markups",
) -> CineLabel:
    """Points that were saved in Slicer as a label.

    Args:
        content: a parsed markups file; control points whose position is not defined are passed over.
        image: what they were placed on.
        grid: of the file that Slicer showed.
        schema: control points are named after its points.
        others_absent: on frames with a point, take the missing ones for absent instead of unlabelled.
        author: who placed them.
        where: the file, for messages.

    Raises:
        ValueError: says which control point is wrong, and what to do.
    """
    frames: dict[int, dict[str, tuple[float, float] | None]] = {}
    for name, position in _positions(content, where):
        if name not in schema.names:
            raise ValueError(
                f"{where}: no keypoint is called {shown(name)}; rename the control point to one of {list(schema.names)}"
            )
        x, y, nearest = grid.voxel(position)
        frame = round(nearest)
        if not 0 <= frame < image.number_of_frames:
            raise ValueError(
                f"{where}: {name} lies at frame {frame}, but the image has {image.number_of_frames}; place it on a frame"
            )
        if not (-0.5 <= x <= image.columns - 0.5 and -0.5 <= y <= image.rows - 0.5):
            raise ValueError(f"{where}: {name} of frame {frame} lies outside the image, at pixel ({x:.1f}, {y:.1f})")
        if name in frames.setdefault(frame, {}):
            raise ValueError(f"{where}: {name} stands twice on frame {frame}; delete one")
        frames[frame][name] = (x, y)
    if others_absent:
        frames = {f: {n: points.get(n) for n in schema.names} for f, points in frames.items()}
    keypoints = tuple(Keypoints.from_points(schema, p, frame=f, spacing=image.spacing) for f, p in sorted(frames.items()))
    edit = PointEdit(source="annotator", author=author)
    return CineLabel(image=image, frames=keypoints, edits={(f, n): edit for f, points in frames.items() for n in points})


def _positions(content: Any, where: str) -> Iterator[tuple[str, tuple[float, float, float]]]:
    """(label, LPS position) of every control point with a defined position."""
    for node in _lists(content, where):
        system = str(node.get("coordinateSystem", "LPS")) if isinstance(node, Mapping) else ""
        points = node.get("controlPoints") if isinstance(node, Mapping) else None
        if system not in _SIGNS or not isinstance(points, list):
            raise ValueError(f"{where}: a point list needs 'controlPoints' and the coordinate system LPS or RAS")
        for point in points:
            if not isinstance(point, Mapping):
                raise ValueError(f"{where}: a control point must be an object, got {type(point).__name__}")
            if point.get("positionStatus", "defined") == "defined":
                yield str(point.get("label", "")), _position(point.get("position"), _SIGNS[system], where)


def _position(values: Any, sign: float, where: str) -> tuple[float, float, float]:
    numbers: Iterable[Any] = values if isinstance(values, list) and len(values) == 3 else [None]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) <= LARGEST for v in numbers):
        raise ValueError(f"{where}: a control point needs three numbers for its position, got {shown(values)}")
    x, y, z = (float(v) for v in numbers)
    return sign * x, sign * y, z
