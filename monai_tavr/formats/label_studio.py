"""Label Studio: tasks with ``KeyPointLabels``, one picture each, as its JSON export and import.

A point stands in per cent of the picture's width and height, counted from its upper left corner; the first pixel's centre is
half a pixel away from there, and that half is added and taken off here and nowhere else. Absent points are the choices of a
control named ``absent``; without it a missing point is unlabelled unless the caller says otherwise. The labelling interface for
both:

    <View>
      <Image name="image" value="$image"/>
      <KeyPointLabels name="keypoint" toName="image"> <Label value="AA1"/> ... </KeyPointLabels>
      <Choices name="absent" toName="image" choice="multiple" required="false"> <Choice value="AA1"/> ... </Choices>
    </View>

sleap-io reads such files too, but gives pictures of unknown size 100 x 100 pixels, takes the first of several annotations and
needs a field that Label Studio itself does not write; so this module does it. Format:
https://labelstud.io/guide/export#Label-Studio-JSON-format
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

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

__all__ = ["read_label_studio", "write_label_studio"]

_KEYPOINT, _ABSENT = "keypoint", "absent"  # names of the controls
_KIND = "keypointlabels"


def read_label_studio(
    path: str | os.PathLike[str],
    *,
    schema: KeypointSchema = TAVR11,
    others_absent: bool = False,
    ignore: Collection[str] = (),
) -> list[CineLabel]:
    """The cines of a JSON export. Cancelled annotations do not count, nor do tasks without annotation whose size is unknown.

    Args:
        path: the file.
        schema: what its keypoint labels are called.
        others_absent: on pictures with a point, take the labels that occur in the file and are missing there for absent.
        ignore: labels, and types of other results (``rectanglelabels``), to pass over.

    Raises:
        ValueError: not such a file, a label that the schema does not know, two annotations of one picture; says where.
    """
    read = []
    for position, task in enumerate(listing(read_json(path), str(path))):
        place = f"{path}: task {position}"
        task = mapping(task, place, required={"data"})
        data = mapping(task["data"], f"{place}.data")
        results = _results(task, place)
        read.append((place, data, _size(data, results, place), _points(results, schema, ignore)))
    asked = dict.fromkeys(name for *_, points in read for name in points)
    frames = []
    for place, data, size, points in read:
        if size is not None:
            frames.append(
                LabelledFrame(
                    place=place,
                    rows=size[0],
                    columns=size[1],
                    points=with_absent(points, asked, others_absent=others_absent),
                    picture=_picture(data, place),
                    extra=data.get("tavr"),
                )
            )
    return labels_of_frames(frames, schema=schema)


def _results(task: Mapping[str, Any], place: str) -> list[tuple[str, Mapping[str, Any]]]:
    """(place, result) of the one annotation that counts."""
    given = [
        mapping(a, f"{place}: annotations[{k}]")
        for k, a in enumerate(listing(task.get("annotations", []), f"{place}: annotations"))
    ]
    valid = [a for a in given if not a.get("was_cancelled")]
    if len(valid) > 1:
        raise ValueError(f"{place}: {len(valid)} annotations; keep one per task and export again")
    found = listing(valid[0].get("result", []), f"{place}: result") if valid else []
    return [(f"{place}: result[{k}]", mapping(r, f"{place}: result[{k}]")) for k, r in enumerate(found)]


def _picture(data: Mapping[str, Any], place: str) -> str:
    """The picture's name: of an upload or an address the last part, else the path as it is."""
    name = unquote(urlsplit(text(data.get("image"), f"{place}.data.image")).path)
    return relative_picture(name)


def _size(data: Mapping[str, Any], results: Sequence[tuple[str, Mapping[str, Any]]], place: str) -> tuple[int, int] | None:
    """(rows, columns), or None where nothing says them."""
    stated = [(where, r) for where, r in results if "original_width" in r]
    sizes = {
        tuple(whole(r.get(f"original_{side}"), f"{where}.original_{side}", minimum=1) for side in ("height", "width"))
        for where, r in stated
    }
    if len(sizes) > 1:
        raise ValueError(f"{place}: the results are of pictures of different sizes")
    if sizes:
        rows, columns = sizes.pop()
        return rows, columns
    extra = data.get("tavr")
    image = extra.get("image") if isinstance(extra, Mapping) else None
    if isinstance(image, Mapping):
        return whole(image.get("rows"), f"{place}.data.tavr.image.rows"), whole(image.get("columns"), f"{place}: image.columns")
    if results:
        raise ValueError(f"{place}: the results lack 'original_width' and 'original_height'")
    return None


def _points(results: Sequence[tuple[str, Mapping[str, Any]]], schema: KeypointSchema, ignore: Collection[str]) -> Points:
    points: Points = {}
    for where, result in results:
        kind = result.get("type")
        if kind == "relation" or (isinstance(kind, str) and kind in ignore):
            continue
        value = mapping(result.get("value"), f"{where}.value")
        if kind == "choices" and result.get("from_name") == _ABSENT:
            named: Points = dict.fromkeys(
                text(name, f"{where}.value.choices") for name in listing(value.get("choices"), f"{where}.value.choices")
            )
        elif kind == _KIND:
            [name] = listing(value.get(_KIND), f"{where}.value.{_KIND}", length=1)
            named = {text(name, f"{where}.value.{_KIND}"): _place(result, value, where)}
        else:
            raise ValueError(f"{where}: it is of the type {shown(kind)}, not {_KIND!r}; ignore the type by name")
        for name, xy in named.items():
            if is_wanted(name, schema, ignore, where):
                if name in points:
                    raise ValueError(f"{where}: {name} is labelled twice, or placed and absent")
                points[name] = xy
    return points


def _place(result: Mapping[str, Any], value: Mapping[str, Any], where: str) -> tuple[float, float] | None:
    if result.get("image_rotation") not in (None, 0):
        raise ValueError(f"{where}: the picture was rotated in Label Studio; turn it back and export again")
    sides = (whole(result.get(f"original_{side}"), f"{where}.original_{side}", minimum=1) for side in ("width", "height"))
    x, y = (number(value.get(key), f"{where}.value.{key}") / 100 * side - 0.5 for key, side in zip("xy", sides, strict=True))
    return round(x, 6), round(y, 6)


def write_label_studio(path: str | os.PathLike[str], labels: Sequence[CineLabel]) -> None:
    """Write tasks to import. Raises ValueError where two cines have one name."""
    warn_of_loss("label-studio", labels)
    tasks = []
    for label, cine, keypoints in each_frame(labels):
        rows, columns = label.image.rows, label.image.columns
        common = {"original_width": columns, "original_height": rows, "image_rotation": 0, "to_name": "image"}
        results: list[dict[str, Any]] = []
        points = points_of(keypoints)
        for name, xy in points.items():
            if xy is not None:
                value = {"x": (xy[0] + 0.5) / columns * 100, "y": (xy[1] + 0.5) / rows * 100, "width": 0.5, _KIND: [name]}
                results.append(common | {"id": name, "from_name": _KEYPOINT, "type": _KIND, "value": value})
        absent = [name for name, xy in points.items() if xy is None]
        if absent:
            results.append(common | {"id": _ABSENT, "from_name": _ABSENT, "type": "choices", "value": {"choices": absent}})
        data = {"image": picture_name(label, cine, keypoints.frame), "tavr": frame_extra(label, cine, keypoints.frame)}
        tasks.append({"data": data, "annotations": [{"result": results, "was_cancelled": False}]})
    write_json_atomically(path, tasks, indent=None)
