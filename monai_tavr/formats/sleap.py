"""SLEAP projects and predictions (``.slp``), through sleap-io.

A point of SLEAP has a place, a mark ``visible`` and a mark ``complete``. Absent is: no place but complete, or a place that was
marked not visible; unlabelled is: neither. Frames with scores become predicted instances. Spacing, UIDs and names travel in the
file's provenance, where SLEAP keeps what it does not know. (0, 0) is the first pixel's centre, as in this package.
https://sleap.ai
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from monai_tavr.cine import CineInfo
from monai_tavr.files import replacing_path
from monai_tavr.formats.checks import listing, mapping, number, parse_json, shown, whole
from monai_tavr.formats.frames import (
    LabelledFrame,
    cine_names,
    frame_extra,
    is_wanted,
    labels_of_frames,
    relative_picture,
    rounded,
    with_absent,
)
from monai_tavr.formats.table import warn_of_loss
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema, KeypointState
from monai_tavr.label import CineLabel

__all__ = ["read_sleap", "write_sleap"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


_MISSING = "sleap-io is not installed; SLEAP files need: pip install 'monai-tavr[sleap]'"
_SECONDS = 300  # to load a file


def _sleap_io() -> Any:
    try:
        import sleap_io
    except ModuleNotFoundError as error:
        raise ValueError(_MISSING) from error
    return sleap_io


def read_sleap(
    path: str | os.PathLike[str],
    *,
    schema: KeypointSchema = TAVR11,
    image: CineInfo | None = None,
    others_absent: bool = False,
    ignore: Collection[str] = (),
) -> list[CineLabel]:
    """The cines of a project. Where a frame has an instance of a person, its predicted ones do not count.

    Args:
        path: the file.
        schema: what the nodes of its skeletons are called.
        image: what was labelled, if it is one cine, for files that say no size.
        others_absent: on frames with a point, take the skeleton's nodes that have none for absent instead of unlabelled.
        ignore: nodes to pass over.

    Raises:
        ValueError: no such file, a node that the schema does not know, two instances on a frame; says which.
    """
    with Path(path).open("rb") as stream:
        if stream.read(len(_SIGNATURE)) != _SIGNATURE:
            raise ValueError(f"{path}: no SLEAP file; it does not begin like HDF5")
    content = mapping(_load(path), str(path), required={"videos", "frames"})
    videos = listing(content["videos"], f"{path}: videos")
    kept = content.get("kept")
    extras = [] if kept is None else listing(kept, f"{path}: provenance.tavr", length=len(videos))
    frames = []
    for frame in content["frames"]:
        place = f"{path}: video {frame['video']}, frame {frame['frame']}"
        extra = dict(mapping(extras[frame["video"]], place)) if extras else None
        frames.append(_frame(frame, videos[frame["video"]], extra, place, schema, image, others_absent, ignore))
    return labels_of_frames(frames, schema=schema, image=None if image is None else image.image_info)


def _load(path: str | os.PathLike[str]) -> Any:
    """What the file holds, loaded in a process that is stopped when it takes too long."""
    if importlib.util.find_spec("sleap_io") is None:
        raise ValueError(_MISSING)
    command = [sys.executable, "-W", "ignore", "-m", "monai_tavr.formats.sleap_load", os.fspath(path)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"{path}: no readable SLEAP file: not loaded within {_SECONDS} s") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        reason = said[-1] if said and done.returncode > 0 else f"the HDF5 library ended with {done.returncode}"
        raise ValueError(f"{path}: no readable SLEAP file: {reason}")
    return parse_json(done.stdout, where=str(path))


def _frame(
    labelled: Mapping[str, Any],
    video: Mapping[str, Any],
    extra: dict[str, Any] | None,
    place: str,
    schema: KeypointSchema,
    image: CineInfo | None,
    others_absent: bool,
    ignore: Collection[str],
) -> LabelledFrame:
    frame = whole(labelled["frame"], f"{place}: its number")
    names, shape = video["names"], video["shape"]
    if image is not None:
        rows, columns = image.rows, image.columns
    elif shape is None or len(shape) < 3:
        raise ValueError(f"{place}: the file says no size of the video; give the image that was labelled")
    else:
        rows, columns = (whole(n, f"{place}: the video's size", minimum=1) for n in shape[1:3])
    picture = relative_picture(names[frame]) if isinstance(names, list) and frame < len(names) else None
    cine = str(PurePosixPath(relative_picture(names)).with_suffix("")) if isinstance(names, str) and names else None
    instances = labelled["instances"]
    if len(instances) > 1:
        raise ValueError(f"{place}: {len(instances)} instances; a frame shows one set of points, delete the others")
    points, score = _points(instances[0] if instances else {}, place, schema, ignore)
    asked = [name for i in instances for name in i if name in points or is_wanted(name, schema, ignore, place)]
    return LabelledFrame(
        place=place,
        rows=rows,
        columns=columns,
        points=with_absent(points, asked, others_absent=others_absent),
        cine=cine,
        number=frame if picture is None else None,
        picture=picture,
        extra=None if extra is None or image is not None else extra | {"frame": frame},
        score=score,
    )


def _points(
    instance: Mapping[str, list[Any]], place: str, schema: KeypointSchema, ignore: Collection[str]
) -> tuple[dict[str, tuple[float, float] | None], dict[str, float]]:
    """(points, scores) of an instance."""
    points: dict[str, tuple[float, float] | None] = {}
    score: dict[str, float] = {}
    for name, (x, y, is_visible, is_complete, found) in instance.items():
        if not is_wanted(name, schema, ignore, place):
            continue
        is_placed = not (np.isnan(x) or np.isnan(y))
        if is_placed and is_visible:
            points[name] = number(x, f"{place}, {shown(name)}: x"), number(y, f"{place}, {shown(name)}: y")
        elif is_placed or is_complete:
            points[name] = None
        if name in points and found is not None and np.isfinite(found):
            score[name] = min(max(found, 0.0), 1.0)  # SLEAP's peaks are a little above 1 at times
    return points, score


def write_sleap(path: str | os.PathLike[str], labels: Sequence[CineLabel]) -> None:
    """Write a project without pictures; SLEAP asks for the videos, which are called as the cines.

    Raises:
        ValueError: sleap-io is missing, labels of different schemas, or two cines of one name.
    """
    warn_of_loss("sleap", labels)
    io = _sleap_io()
    schema = next((k.schema for label in labels for k in label.frames), TAVR11)
    skeleton = io.Skeleton(nodes=list(schema.names), edges=[list(edge) for edge in schema.skeleton], name=schema.name)
    videos, frames, extras = [], [], []
    for label, cine in zip(labels, cine_names(labels), strict=True):
        shape = (label.image.number_of_frames, label.image.rows, label.image.columns, 1)
        videos.append(io.Video(filename=cine, open_backend=False, backend_metadata={"type": "MediaVideo", "shape": shape}))
        extras.append({key: value for key, value in frame_extra(label, cine, -1).items() if key != "frame"})
        for keypoints in label.frames:
            if keypoints.schema.names != schema.names:
                raise ValueError(f"{path}: labels of the schemas {schema.name!r} and {keypoints.schema.name!r} in one project")
            instances = [_instance(io, keypoints, skeleton)] if np.asarray(keypoints.labelled).any() else []
            frames.append(io.LabeledFrame(video=videos[-1], frame_idx=keypoints.frame, instances=instances))
    project = io.Labels(frames, videos=videos, skeletons=[skeleton])
    project.provenance["tavr"] = extras
    with replacing_path(path) as temporary:
        io.save_slp(project, os.fspath(temporary), verbose=False)


def _instance(io: Any, keypoints: Keypoints, skeleton: Any) -> Any:
    xy = np.array([rounded(p) for p in keypoints.xy], np.float64)
    if keypoints.score is None:
        instance = io.Instance.from_numpy(xy, skeleton=skeleton)
    else:
        instance = io.PredictedInstance.from_numpy(xy, skeleton=skeleton, point_scores=keypoints.score.astype(np.float64))
    instance.points["complete"] = keypoints.state == KeypointState.ABSENT
    return instance
