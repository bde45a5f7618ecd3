"""Supervisely folders: a folder per patient or cine with ``img/`` and ``ann/``, an annotation ``NAME.png.json`` per picture.

They come in several shapes, and all are read: ``meta.json`` beside the folders or missing; the TAVI authors' ``train/CASE/ann/``;
pictures with another extension than the annotation's name says; no ``img/`` at all. Whatever folder is called ``ann`` holds
annotations, and its parent is the case.

An object of the geometry ``point`` is a visible point, its class the point's name. Absent points are named in the picture's tag
``absent``, separated by commas; without it a missing point is unlabelled unless the caller says otherwise. Bitmaps are masks,
read by :mod:`monai_tavr.formats.supervisely_mask`. Supervisely counts pixels from 0 at the first pixel, as this package does.
Format: https://docs.supervisely.com/data-organization/00_ann_format_navi
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_tavr.files import creating_folder
from monai_tavr.formats.checks import listing, mapping, number, read_json, shown, text, whole
from monai_tavr.formats.frames import (
    LabelledFrame,
    each_frame,
    frame_extra,
    is_wanted,
    labels_of_frames,
    picture_name,
    points_of,
    with_absent,
)
from monai_tavr.formats.spacings import PixelSpacing, spacing_of
from monai_tavr.formats.table import LossWarning, warn_of_loss
from monai_tavr.keypoints import TAVR11, KeypointSchema
from monai_tavr.label import CineLabel

__all__ = ["BITMAP", "annotations_of", "read_supervisely", "size_of", "write_supervisely"]

_ABSENT = "absent"  # the tag
_POINT, BITMAP = "point", "bitmap"


def read_supervisely(
    path: str | os.PathLike[str],
    *,
    schema: KeypointSchema = TAVR11,
    others_absent: bool = False,
    ignore: Collection[str] = (),
    spacings: Mapping[str, PixelSpacing] | None = None,
) -> list[CineLabel]:
    """The cines of a project folder, or of any folder with ``ann`` folders below it.

    Args:
        path: the folder.
        schema: what its point classes are called.
        others_absent: on pictures with a point, take those of the project's point classes that have none for absent.
        ignore: classes to pass over.
        spacings: of pictures or cases (:func:`monai_tavr.formats.spacings.read_spacings`).

    Raises:
        ValueError: no such folder, a class that the schema does not know, a damaged annotation; says where.
    """
    root = Path(path)
    found = [(case, file, read_json(file)) for case, file in annotations_of(root)]
    if not found:
        raise ValueError(f"{root}: no Supervisely project; there is no folder 'ann' with annotations (NAME.png.json) below it")
    asked = [name for name in _point_classes(root, [content for *_, content in found]) if name not in ignore]
    pictures: dict[Path, dict[str, str]] = {}
    frames = []
    for case, file, content in found:
        folder = case / "img"
        if folder not in pictures:
            pictures[folder] = {p.stem: p.name for p in sorted(folder.iterdir(), reverse=True)} if folder.is_dir() else {}
        name = file.name.removesuffix(".json")
        # the picture may have another extension than the annotation says; one of the very name goes before others
        name = name if (folder / name).is_file() else pictures[folder].get(Path(name).stem, name)
        picture = (folder / name).relative_to(root).as_posix()
        frames.append(_frame(content, str(file), picture, asked, schema, others_absent, ignore, spacings))
    masks = sum(
        any(_geometry(o) == BITMAP and o["classTitle"] not in ignore for o in content["objects"]) for *_, content in found
    )
    if masks:
        words = f"{root}: {masks} pictures have masks, which are no part of a label; read_supervisely_mask reads them"
        warnings.warn(words, LossWarning, stacklevel=2)
    return labels_of_frames(frames, schema=schema)


def annotations_of(root: Path) -> Iterator[tuple[Path, Path]]:
    """(case folder, annotation file) of every annotation below a folder, in order. Raises ValueError where there is no folder."""
    if not root.is_dir():
        raise ValueError(f"{root}: there is no such folder; Supervisely's labels are a folder")
    for folder, folders, files in os.walk(root):
        folders.sort()
        if Path(folder).name == "ann":
            for name in sorted(files):
                if name.endswith(".json"):
                    yield Path(folder).parent, Path(folder) / name


def _point_classes(root: Path, contents: Sequence[Any]) -> list[str]:
    """Names of the classes that are points: of meta.json where there is one, else of those that occur."""
    meta = next((p for p in (root / "meta.json", root.parent / "meta.json") if p.is_file()), None)
    if meta is None:
        objects = [o for content in contents if isinstance(content, Mapping) for o in _objects(content, str(root))]
        return list(dict.fromkeys(o["classTitle"] for o in objects if _geometry(o) == _POINT))
    names = []
    classes = listing(mapping(read_json(meta), str(meta), required={"classes"})["classes"], f"{meta}: classes")
    for position, entry in enumerate(classes):
        place = f"{meta}: classes[{position}]"
        entry = mapping(entry, place, required={"title"})
        if entry.get("shape", _POINT) == _POINT:
            names.append(text(entry["title"], f"{place}.title"))
    return names


def _objects(content: Mapping[str, Any], where: str) -> list[Mapping[str, Any]]:
    objects = []
    for position, entry in enumerate(listing(content.get("objects"), f"{where}: objects")):
        place = f"{where}: objects[{position}]"
        entry = mapping(entry, place, required={"classTitle"})
        text(entry["classTitle"], f"{place}.classTitle")
        objects.append(entry)
    return objects


def _geometry(entry: Mapping[str, Any]) -> Any:
    # old exports name no geometry; what has a bitmap is one
    return entry.get("geometryType", BITMAP if "bitmap" in entry else _POINT)


def _frame(
    content: Any,
    where: str,
    picture: str,
    asked: Sequence[str],
    schema: KeypointSchema,
    others_absent: bool,
    ignore: Collection[str],
    spacings: Mapping[str, PixelSpacing] | None,
) -> LabelledFrame:
    content = mapping(content, where, required={"size", "objects"})
    rows, columns = size_of(content, where)
    points: dict[str, tuple[float, float] | None] = {}
    for position, entry in enumerate(_objects(content, where)):
        name, geometry = entry["classTitle"], _geometry(entry)
        place = f"{where}: objects[{position}], {shown(name)}"
        if geometry == BITMAP or name in ignore:
            continue
        if geometry != _POINT:
            raise ValueError(f"{place}: it is a {shown(geometry)}, not a point; ignore the class by name")
        is_wanted(name, schema, ignore, place)
        if name in points:
            raise ValueError(f"{place}: the point stands twice on this picture")
        points[name] = _place(entry, place)
    for name in _absent(content, where):
        if is_wanted(name, schema, ignore, f"{where}: tag {_ABSENT!r}") and points.setdefault(name, None) is not None:
            raise ValueError(f"{where}: {name} is placed and tagged absent")
    wanted = [name for name in asked if is_wanted(name, schema, ignore, f"{where}: class")] if others_absent else []
    custom = content.get("customBigData")
    extra = custom.get("tavr") if isinstance(custom, Mapping) else None
    return LabelledFrame(
        place=where,
        rows=rows,
        columns=columns,
        points=with_absent(points, wanted, others_absent=others_absent),
        picture=picture,
        extra=extra,
        spacing=None if spacings is None else spacing_of(picture, spacings, columns=columns, rows=rows),
    )


def size_of(content: Mapping[str, Any], where: str) -> tuple[int, int]:
    """(rows, columns) of an annotated picture."""
    size = mapping(content.get("size"), f"{where}: size", required={"width", "height"})
    rows, columns = (whole(size[key], f"{where}: size.{key}", minimum=1) for key in ("height", "width"))
    return rows, columns


def _place(entry: Mapping[str, Any], place: str) -> tuple[float, float]:
    points = mapping(entry.get("points"), f"{place}: points", required={"exterior"})
    [only] = listing(points["exterior"], f"{place}: points.exterior", length=1)
    x, y = (number(v, f"{place}: points.exterior[0]") for v in listing(only, f"{place}: points.exterior[0]", length=2))
    return x, y


def _absent(content: Mapping[str, Any], where: str) -> list[str]:
    names: list[str] = []
    for position, tag in enumerate(listing(content.get("tags", []), f"{where}: tags")):
        if mapping(tag, f"{where}: tags[{position}]").get("name") == _ABSENT:
            value = text(tag.get("value"), f"{where}: tags[{position}].value")
            names += [name.strip() for name in value.split(",") if name.strip()]
    return names


def write_supervisely(path: str | os.PathLike[str], labels: Sequence[CineLabel]) -> None:
    """Write a project without pictures: upload them under the same names, or put them into the ``img`` folders.

    Raises:
        ValueError: the folder is there and not empty, labels of different schemas, two cines of one name, or two pictures.
    """
    warn_of_loss("supervisely", labels)
    schema = next((k.schema for label in labels for k in label.frames), TAVR11)
    with creating_folder(path) as folder:
        _dump(folder / "meta.json", _meta(schema))
        for label, cine, keypoints in each_frame(labels):
            if keypoints.schema.names != schema.names:
                raise ValueError(f"{path}: labels of the schemas {schema.name!r} and {keypoints.schema.name!r} in one project")
            picture = Path(picture_name(label, cine, keypoints.frame))
            # Supervisely needs a case around every picture
            case = picture.parent.parent if picture.parent.name == "img" else picture.parent
            case = Path(Path(cine).name) if case == Path() else case
            file = folder / case / "ann" / f"{picture.name}.json"
            if file.exists():
                raise ValueError(f"{path}: two frames have the picture {picture}")
            file.parent.mkdir(parents=True, exist_ok=True)
            extra = frame_extra(label, cine, keypoints.frame)
            _dump(file, _annotation(points_of(keypoints), label.image.rows, label.image.columns, extra))


def _dump(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")


def _meta(schema: KeypointSchema) -> dict[str, Any]:
    classes = [{"title": name, "shape": _POINT, "color": schema.color_of(name).upper()} for name in schema.names]
    tag = {"name": _ABSENT, "value_type": "any_string", "color": "#808080", "applicable_type": "imagesOnly"}
    return {"classes": classes, "tags": [tag], "projectType": "images"}


def _annotation(
    points: Mapping[str, tuple[float, float] | None], rows: int, columns: int, extra: Mapping[str, Any]
) -> dict[str, Any]:
    absent = ",".join(name for name, xy in points.items() if xy is None)
    return {
        "description": "",
        "tags": [{"name": _ABSENT, "value": absent}] if absent else [],
        "size": {"height": rows, "width": columns},
        "objects": [
            {
                "classTitle": name,
                "geometryType": _POINT,
                "description": "",
                "tags": [],
                "points": {"exterior": [list(xy)], "interior": []},
            }
            for name, xy in points.items()
            if xy is not None
        ],
        "customBigData": {"tavr": dict(extra)},
    }
