"""Between cines and the files of programs that know pictures only.

COCO, Supervisely, Label Studio and their like label one picture after another. A :class:`LabelledFrame` is what such a file
says of one picture, and :func:`labels_of_frames` puts the frames of a cine together again. Writers keep what a picture cannot
say, which cine it is of, its number, spacing and UIDs, in one small object per picture (:func:`frame_extra`), where the format
has room for it.

Where there is none, names decide: ``P001/img/run3_0012.png`` is frame 12 of ``P001/run3``. A picture without a number at the
end of its name is a cine of one frame. Pictures of one name but of different size or spacing are different cines.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from monai_tavr.formats.checks import mapping, shown, text, whole
from monai_tavr.formats.label_json import image_from_dict, image_to_dict
from monai_tavr.keypoints import Keypoints, KeypointSchema, KeypointState
from monai_tavr.label import CineLabel, ImageInfo, PointEdit

__all__ = [
    "IMAGE_FOLDERS",
    "LabelledFrame",
    "Points",
    "cine_names",
    "each_frame",
    "frame_extra",
    "is_wanted",
    "labels_of_frames",
    "picture_name",
    "points_of",
    "relative_picture",
    "rounded",
    "with_absent",
]

Points = dict[str, tuple[float, float] | None]
"""Name -> (x, y) in native pixels, or None where the point is absent."""
IMAGE_FOLDERS = ("img", "images", "image", "frames", "labeled-data")  # they hold pictures and name no cine
_GENERIC = (*IMAGE_FOLDERS, "frame")  # nor do pictures called so
_DIGITS = 5  # longer numbers at the end of a name are dates or UIDs
_NUMBERED = re.compile(rf"(?P<cine>.*?)[-_. ]?(?<!\d)(?P<frame>\d{{1,{_DIGITS}}})")
_EXTRA = {"cine", "frame", "name", "picture", "image"}


@dataclass(frozen=True, kw_only=True)
class LabelledFrame:
    """What a file says of one picture.

    Attributes:
        place: file and place in it, for messages.
        rows, columns: size of the picture in pixels.
        points: name -> (x, y) in native pixels, or None where the point is absent. A name that is missing is unlabelled.
        cine, number: which cine, and which frame of it from 0, where the file says so; else the picture's name decides.
        picture: the picture's file, relative, with ``/``.
        extra: what :func:`frame_extra` gave the writer, or None.
        spacing: (x, y) millimetres per pixel, where the file says it.
        score, spread, edits: of the points, where the file says them.
    """

    place: str
    rows: int
    columns: int
    points: Mapping[str, tuple[float, float] | None]
    cine: str | None = None
    number: int | None = None
    picture: str | None = None
    extra: Any = None
    spacing: tuple[float, float] | None = None
    score: Mapping[str, float] = field(default_factory=dict)
    spread: Mapping[str, float] = field(default_factory=dict)
    edits: Mapping[str, PointEdit] = field(default_factory=dict)


def relative_picture(name: str) -> str:
    """The name of a picture as a file gives it, as a relative path with ``/``; of one that leads elsewhere only the last part."""
    path = PurePosixPath(name.replace("\\", "/"))
    leads_away = path.is_absolute() or ".." in path.parts or ":" in name
    return path.name if leads_away else str(path)


def is_wanted(name: str, schema: KeypointSchema, ignore: Collection[str], where: str) -> bool:
    """Whether a name of a file is a point of the schema (True) or to be passed over (False). Raises ValueError for others."""
    if name in ignore:
        return False
    if name not in schema.names:
        raise ValueError(
            f"{where}: no keypoint of schema {schema.name!r} is called {shown(name)}; its points are {', '.join(schema.names)}. "
            "Give the schema that the file was labelled with, or the names to ignore"
        )
    return True


def with_absent(
    points: Mapping[str, tuple[float, float] | None], asked: Iterable[str], *, others_absent: bool
) -> dict[str, tuple[float, float] | None]:
    """``points``, where ``others_absent`` with those of the points ``asked`` for that are missing, unless all are."""
    return {name: None for name in asked if others_absent and points} | dict(points)


@dataclass(frozen=True)
class _Cine:
    """What tells cines apart: the name, and the image, whose number of frames is not known yet where it is 0."""

    key: str
    name: str | None
    image: ImageInfo
    own_pictures: bool = False  # the pictures' names were made by the writer, except those in the extra


def labels_of_frames(
    frames: Iterable[LabelledFrame], *, schema: KeypointSchema, image: ImageInfo | None = None
) -> list[CineLabel]:
    """Cines of labelled pictures, in the order in which they first appear.

    Args:
        frames: the pictures.
        schema: their points.
        image: the one image that all of them are of, where the caller knows it.

    Raises:
        ValueError: says which picture does not fit to its cine.
    """
    cines: dict[_Cine, dict[int, LabelledFrame]] = {}
    for frame in frames:
        cine, number = _belongs(frame, image)
        members = cines.setdefault(cine, {})
        if number in members:
            raise ValueError(
                f"{frame.place}: frame {number} of cine {shown(cine.key)} stands a second time, after {members[number].place}"
            )
        members[number] = frame
    sizes = Counter(cine.key for cine in cines)
    twice = next((cine for cine in cines if sizes[cine.key] > 1 and (cine.own_pictures or image is not None)), None)
    if twice is not None:
        place = next(iter(cines[twice].values())).place
        raise ValueError(f"{place}: the frames of cine {shown(twice.key)} disagree on the size, spacing or UIDs of its image")
    if image is not None and len(cines) > 1:
        raise ValueError(
            f"{len(cines)} cines, among them {', '.join(shown(c.key) for c in list(cines)[:3])}, but one image is given"
        )
    return [_label(cine, members, schema=schema, alone=sizes[cine.key] == 1) for cine, members in cines.items()]


def _belongs(frame: LabelledFrame, image: ImageInfo | None) -> tuple[_Cine, int]:
    """The cine of a picture, and the frame's number."""
    if frame.extra is None:
        cine, number = _numbered(frame.picture or "")
        cine = cine if frame.cine is None else frame.cine
        unknown = ImageInfo(rows=frame.rows, columns=frame.columns, number_of_frames=0, spacing=frame.spacing)
        return _Cine(cine, cine or None, image or unknown), number if frame.number is None else frame.number
    where = f"{frame.place}: tavr"
    extra = mapping(frame.extra, where, known=_EXTRA, required={"cine", "frame", "image"})
    own = image_from_dict(extra["image"], where=f"{where}.image")
    if (own.rows, own.columns) != (frame.rows, frame.columns):
        raise ValueError(
            f"{frame.place}: the picture has {frame.columns} x {frame.rows} pixels, its cine {own.columns} x {own.rows}"
        )
    name = text(extra["name"], f"{where}.name") if extra.get("name") is not None else None
    return _Cine(text(extra["cine"], f"{where}.cine"), name, own, own_pictures=True), whole(extra["frame"], f"{where}.frame")


def _numbered(picture: str) -> tuple[str, int]:
    """(cine, frame) of the name of a picture."""
    path = PurePosixPath(picture)
    folders = [p for p in path.parts[:-1] if p.lower() not in IMAGE_FOLDERS]
    found = _NUMBERED.fullmatch(path.stem)
    stem, frame = (found["cine"], int(found["frame"])) if found else (path.stem, 0)
    return "/".join([*folders, *([stem] if stem and stem.lower() not in _GENERIC else [])]), frame


def _label(cine: _Cine, frames: Mapping[int, LabelledFrame], *, schema: KeypointSchema, alone: bool) -> CineLabel:
    first = next(iter(frames.values()))
    image, name = cine.image, cine.name
    if image.number_of_frames == 0:
        image = replace(image, number_of_frames=max(frames) + 1)
    if not alone and name is not None:  # the same name in two sizes: the second must not be taken for the first
        name = f"{name}_{image.columns}x{image.rows}"
    pictures = {n: f.extra.get("picture") if cine.own_pictures else f.picture for n, f in frames.items()}
    try:
        return CineLabel(
            image=image,
            frames=tuple(_keypoints(number, frame, schema, image) for number, frame in frames.items()),
            edits={(number, n): edit for number, frame in frames.items() for n, edit in frame.edits.items()},
            spread={(number, n): float(s) for number, frame in frames.items() for n, s in frame.spread.items()},
            name=name,
            pictures={n: text(p, "tavr.picture") for n, p in pictures.items() if p is not None},
        )
    except ValueError as error:
        raise ValueError(f"{first.place}: cine {shown(cine.key)}: {error}") from error


def _keypoints(number: int, frame: LabelledFrame, schema: KeypointSchema, image: ImageInfo) -> Keypoints:
    keypoints = Keypoints.from_points(schema, frame.points, frame=number, spacing=image.spacing)
    if not frame.score or set(frame.score) != set(frame.points):
        return keypoints  # a half-scored frame is an edited prediction and counts as not scored, as in label files
    return replace(keypoints, score=np.array([frame.score.get(n, 0.0) for n in schema.names], np.float32))


def points_of(keypoints: Keypoints) -> dict[str, tuple[float, float] | None]:
    """name -> (x, y) rounded as in label files, or None where absent, in the schema's order; unlabelled points are not there."""
    return {
        name: rounded(xy) if state == KeypointState.VISIBLE else None
        for name, state, xy in zip(keypoints.schema.names, keypoints.state, keypoints.xy, strict=True)
        if state != KeypointState.UNLABELLED
    }


def rounded(xy: np.ndarray) -> tuple[float, float]:
    """(x, y), rounded to thousandths of a pixel, of ``xy`` (2,) in pixels."""
    return round(float(xy[0]), 3), round(float(xy[1]), 3)


def cine_names(labels: Sequence[CineLabel]) -> list[str]:
    """A name for every cine: its own, else its UID, else its number. Raises ValueError where two have the same."""
    names = [label.name or label.image.uid or f"cine{position}" for position, label in enumerate(labels, start=1)]
    names = [relative_picture(name) for name in names]
    name, number = Counter(names).most_common(1)[0] if names else ("", 0)
    if number > 1:
        raise ValueError(f"{number} cines are called {name!r}: their frames would be taken for one another; rename them")
    return names


def picture_name(label: CineLabel, cine: str, frame: int) -> str:
    """The file of a frame: its own where it has one, else the cine's name and the frame's number."""
    own = label.pictures.get(frame)
    return relative_picture(own) if own is not None else f"{cine}_{frame:04d}.png"


def frame_extra(label: CineLabel, cine: str, frame: int) -> dict[str, Any]:
    """What a picture cannot say of its cine, JSON-ready, for the object called ``tavr`` in files of other programs."""
    extra: dict[str, Any] = {"cine": cine, "frame": frame, "image": image_to_dict(label.image)}
    if label.name is not None:
        extra["name"] = label.name
    if frame in label.pictures:
        extra["picture"] = label.pictures[frame]
    return extra


def each_frame(labels: Sequence[CineLabel]) -> Iterator[tuple[CineLabel, str, Keypoints]]:
    """(label, name of its cine, keypoints) of every frame."""
    for label, cine in zip(labels, cine_names(labels), strict=True):
        for keypoints in label.frames:
            yield label, cine, keypoints
