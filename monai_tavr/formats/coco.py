"""COCO keypoints, and through them CVAT and the pose libraries: one picture per frame, one annotation per picture.

A visible point has v = 2. Absent and unlabelled points both have v = 0, as COCO's readers expect of what has no place; absent
ones are named in the annotation's attribute ``absent``, separated by commas. CVAT keeps it if the label has a text attribute of
that name. Files of other programs say nothing of absence: their v = 0 is unlabelled unless the caller says otherwise. Their v =
1 (occluded, but placed) is visible: the point is there.

Points go by the names of the annotation's category, never by position. COCO counts pixels from 0 at the first pixel's centre, as
this package does. Format: https://cocodataset.org/#format-data (keypoint detection).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from monai_tavr.files import write_json_atomically
from monai_tavr.formats.checks import listing, mapping, number, read_json, shown, text, whole
from monai_tavr.formats.frames import (
    LabelledFrame,
    Points,
    each_frame,
    frame_extra,
    is_wanted,
    labels_of_frames,
    picture_name,
    points_of,
    relative_picture,
    with_absent,
)
from monai_tavr.formats.table import warn_of_loss
from monai_tavr.keypoints import TAVR11, KeypointSchema
from monai_tavr.label import CineLabel

__all__ = ["read_coco", "write_coco"]

_CATEGORY = 1
_PLACED = (1, 2)  # v of a point that has a place


def read_coco(
    path: str | os.PathLike[str],
    *,
    schema: KeypointSchema = TAVR11,
    others_absent: bool = False,
    ignore: Collection[str] = (),
) -> list[CineLabel]:
    """The cines of a COCO keypoint file.

    Args:
        path: the file.
        schema: what its keypoints are called.
        others_absent: on pictures with a point, take those of its category that have none for absent instead of unlabelled.
        ignore: keypoints and categories to pass over.

    Raises:
        ValueError: not such a file, a name that the schema does not know, two places for one point; says where.
    """
    where = str(path)
    content = mapping(read_json(path), where, required={"images", "annotations", "categories"})
    categories = _categories(content["categories"], f"{where}: categories")
    images: dict[int, tuple[Mapping[str, Any], str]] = {}
    for position, image in enumerate(listing(content["images"], f"{where}: images")):
        place = f"{where}: images[{position}]"
        image = mapping(image, place, required={"id", "file_name", "width", "height"})
        if images.setdefault(whole(image["id"], f"{place}.id"), (image, place))[0] is not image:
            raise ValueError(f"{place}: the id {image['id']} stands a second time")
    points: dict[int, Points] = {}
    asked: dict[int, dict[str, None]] = {}
    for position, annotation in enumerate(listing(content["annotations"], f"{where}: annotations")):
        place = f"{where}: annotations[{position}]"
        annotation = mapping(annotation, place, required={"image_id", "category_id"})
        owner = whole(annotation["image_id"], f"{place}.image_id")
        if owner not in images:
            raise ValueError(f"{place}: there is no image {owner}")
        title, names = categories.get(whole(annotation["category_id"], f"{place}.category_id"), ("", None))
        if title and title in ignore:
            continue
        if names is None:
            raise ValueError(f"{place}: its category {title or annotation['category_id']} lists no keypoints; ignore it by name")
        wanted = [name if is_wanted(name, schema, ignore, place) else None for name in names]
        _add(points.setdefault(owner, {}), _points(annotation, wanted, place), f"{place}, {images[owner][0]['file_name']!r}")
        asked.setdefault(owner, {}).update((name, None) for name in wanted if name is not None)
    frames = []
    for identity, (image, place) in images.items():
        frames.append(
            LabelledFrame(
                place=place,
                rows=whole(image["height"], f"{place}.height", minimum=1),
                columns=whole(image["width"], f"{place}.width", minimum=1),
                points=with_absent(points.get(identity, {}), asked.get(identity, ()), others_absent=others_absent),
                picture=relative_picture(text(image["file_name"], f"{place}.file_name")),
                extra=image.get("tavr"),
            )
        )
    return labels_of_frames(frames, schema=schema)


def _categories(content: Any, where: str) -> dict[int, tuple[str, list[str] | None]]:
    """id -> (name, names of its keypoints or None)."""
    found: dict[int, tuple[str, list[str] | None]] = {}
    for position, entry in enumerate(listing(content, where)):
        place = f"{where}[{position}]"
        entry = mapping(entry, place, required={"id", "name"})
        names = entry.get("keypoints")
        if names is not None:
            names = [text(name, f"{place}.keypoints") for name in listing(names, f"{place}.keypoints")]
            if len(set(names)) < len(names):
                raise ValueError(f"{place}: a keypoint stands twice in {shown(names)}")
        found[whole(entry["id"], f"{place}.id")] = (text(entry["name"], f"{place}.name"), names)
    return found


def _points(annotation: Mapping[str, Any], names: Sequence[str | None], place: str) -> Points:
    """What an annotation says of the points; None in ``names`` is to be ignored."""
    values = listing(annotation.get("keypoints"), f"{place}.keypoints", length=3 * len(names))
    points: Points = {}
    for name, x, y, v in zip(names, values[0::3], values[1::3], values[2::3], strict=True):
        if name is None:
            continue
        if whole(v, f"{place}, point {name}: v") in _PLACED:
            points[name] = number(x, f"{place}, point {name}: x"), number(y, f"{place}, point {name}: y")
        elif v != 0:
            raise ValueError(f"{place}, point {name}: v must be 0, 1 or 2, got {shown(v)}")
    attributes = annotation.get("attributes")
    absent = attributes.get("absent") if isinstance(attributes, Mapping) else None
    for name in filter(None, (n.strip() for n in text(absent or "", f"{place}.attributes.absent").split(","))):
        if name not in names:
            raise ValueError(f"{place}: {shown(name)}, said to be absent, is no keypoint of its category")
        if name in points:
            raise ValueError(f"{place}, point {name}: it is placed and said to be absent")
        points[name] = None
    return points


def _add(points: Points, more: Points, place: str) -> None:
    for name, xy in more.items():
        if name in points:
            raise ValueError(f"{place}: {name} is labelled twice")
        points[name] = xy


def write_coco(path: str | os.PathLike[str], labels: Sequence[CineLabel]) -> None:
    """Write the cines as one COCO file.

    Raises:
        ValueError: labels of different schemas, or two cines of one name.
    """
    warn_of_loss("coco", labels)
    schema = next((k.schema for label in labels for k in label.frames), TAVR11)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for label, cine, keypoints in each_frame(labels):
        if keypoints.schema.names != schema.names:
            raise ValueError(
                f"{path}: labels of the schemas {schema.name!r} and {keypoints.schema.name!r} do not fit in one file"
            )
        images.append(
            {
                "id": len(images) + 1,
                "file_name": picture_name(label, cine, keypoints.frame),
                "width": label.image.columns,
                "height": label.image.rows,
                "tavr": frame_extra(label, cine, keypoints.frame),
            }
        )
        points = points_of(keypoints)
        if points:
            annotations.append({"id": len(annotations) + 1, "image_id": len(images)} | _annotation(points, schema))
    order = {name: position for position, name in enumerate(schema.names, start=1)}
    category = {
        "id": _CATEGORY,
        "name": schema.name,
        "supercategory": "",
        "keypoints": list(schema.names),
        "skeleton": [[order[a], order[b]] for a, b in schema.skeleton],
    }
    write_json_atomically(path, {"images": images, "annotations": annotations, "categories": [category]}, indent=None)


def _annotation(points: Points, schema: KeypointSchema) -> dict[str, Any]:
    placed = [xy for xy in points.values() if xy is not None]
    triples = [(0.0, 0.0, 0) if (xy := points.get(name)) is None else (*xy, 2) for name in schema.names]
    left, top = (min((xy[k] for xy in placed), default=0.0) for k in (0, 1))
    width, height = (max((xy[k] for xy in placed), default=0.0) - low for k, low in ((0, left), (1, top)))
    return {
        "category_id": _CATEGORY,
        "keypoints": [value for triple in triples for value in triple],
        "num_keypoints": len(placed),
        "bbox": [left, top, round(width, 3), round(height, 3)],
        "area": round(width * height, 3),
        "iscrowd": 0,
        "attributes": {"absent": ",".join(name for name, xy in points.items() if xy is None)},
    }
