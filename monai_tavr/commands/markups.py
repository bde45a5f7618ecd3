"""``monai-tavr markups``: point lists that were saved in 3D Slicer become a label file."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_arguments", "run"]

_EPILOG = """example:
  monai-tavr markups anatomical.mrk.json instrumental.mrk.json contour.mrk.json --image run.dcm --author Ann --out run.json

Control points are named after the keypoints (AA1, CP, PT, ...) and lie on the slice of their frame, as MONAI Label's module for
3D Slicer loads them. What is not in the file is unlabelled; --others-absent takes it for absent on frames that have a point."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = _EPILOG
    parser.add_argument("markups", nargs="+", type=Path, metavar="FILE", help="point lists saved by 3D Slicer (.mrk.json)")
    parser.add_argument("--image", type=Path, required=True, metavar="FILE", help="the cine that they were placed on")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="label file to write")
    parser.add_argument("--author", metavar="NAME", help="who placed the points")
    parser.add_argument("--others-absent", action="store_true", help="points missing from a frame that has points are absent")


def run(args: argparse.Namespace) -> int:
    """Read, check and write. Raises ValueError if the lists hold no point."""
    from monai_tavr.dicom import open_cine
    from monai_tavr.formats.label_json import write_label_json
    from monai_tavr.formats.slicer_markups import VolumeGrid, label_from_markups, read_markups

    cine = open_cine(args.image)
    named = ", ".join(str(path) for path in args.markups)
    contents = [read_markups(path) for path in args.markups]  # Slicer saves each list to a file of its own
    label = label_from_markups(
        {"markups": [node for content in contents for node in content["markups"]]},
        image=cine.info.image_info,
        grid=VolumeGrid.of_file(args.image),
        others_absent=args.others_absent,
        author=args.author,
        where=named,
    )
    if not label.frames:
        raise ValueError(f"{named}: no control point in it; save the point lists of all groups")
    write_label_json(args.out, label)
    print(f"{args.out}: {sum(int(k.visible.sum()) for k in label.frames)} points on {len(label.frames)} frame(s)")
    return 0
