"""Loads a SLEAP file with sleap-io and prints what it holds as JSON: ``python -m monai_tavr.formats.sleap_load FILE``.

In a process of its own, which :mod:`monai_tavr.formats.sleap` watches: the HDF5 library below runs for ever on some damaged
files, and nothing inside Python can stop it there.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["load"]

_MEMORY = 4 << 30  # bytes of address space


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """``{"videos": [...], "kept": ..., "frames": [...]}`` of a file, JSON-ready; NaN stands for a place that is missing."""
    import sleap_io

    project = sleap_io.load_slp(os.fspath(path), open_videos=False)
    position = {id(video): k for k, video in enumerate(project.videos)}
    return {
        "videos": [_video(video) for video in project.videos],
        "kept": project.provenance.get("tavr"),
        "frames": [
            {
                "video": position[id(frame.video)],
                "frame": int(frame.frame_idx),
                "instances": [_instance(i) for i in frame.user_instances or frame.predicted_instances],
            }
            for frame in project
        ],
    }


def _video(video: Any) -> dict[str, Any]:
    names = video.filename
    shape = None if video.shape is None else [int(n) for n in video.shape]
    return {"names": [str(n) for n in names] if isinstance(names, list) else str(names), "shape": shape}


def _instance(instance: Any) -> Mapping[str, list[Any]]:
    """name -> x, y, visible, complete, score."""
    points = instance.points
    scores = points["score"] if "score" in points.dtype.names else [None] * len(points)
    return {
        str(name): [*(float(v) for v in p["xy"]), bool(p["visible"]), bool(p["complete"]), None if s is None else float(s)]
        for name, p, s in zip(instance.skeleton.node_names, points, scores, strict=True)
    }


def _limit_memory() -> None:
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


if __name__ == "__main__":
    _limit_memory()
    try:
        json.dump(load(sys.argv[1]), sys.stdout)
    except Exception as error:  # damaged files end in whatever h5py, numpy and sleap-io make of them
        sys.exit(f"{type(error).__name__}: {error}")
