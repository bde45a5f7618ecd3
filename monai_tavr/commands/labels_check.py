"""``monai-tavr labels check``: stored labels that are probably wrong, the worst first."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_tavr.commands.label_inputs import add_label_arguments, chosen_statistics, predicted_for, stored_predictions
from monai_tavr.commands.options import parse_names

if TYPE_CHECKING:
    from monai_tavr.keypoints import KeypointSchema
    from monai_tavr.label import CineLabel
    from monai_tavr.plausibility import Finding

__all__ = ["SUMMARY", "add_arguments", "run"]

SUMMARY = "find labels that are probably wrong"

_DESCRIPTION = """Hold stored labels against the rules of the annotation guide, against what is usual of poses and of steps
between frames, and, with --predictions, against the model where it is sure. Printed are the frames with a finding, the worst
first. FOLDER is one of a datalist, one that `predict` wrote, or the labels folder of a server: of its versions the last submitted
ones count. Frames are counted from 0. Exit code: 0, whatever was found; 1 if a file cannot be read, or with --fail if something
was found."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.description = _DESCRIPTION
    parser.add_argument("paths", nargs="+", type=Path, metavar="FOLDER", help="folders with labels, or label files")
    parser.add_argument("--ignore", type=parse_names, default=(), metavar="RULES", help="rules to leave out, e.g. border,pose")
    parser.add_argument("--worst", type=int, default=40, metavar="N", help="frames to print and to draw (default: 40)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all findings there")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="the same as a table, a row per finding")
    parser.add_argument("--html", type=Path, metavar="FILE", help="a page with the worst frames and their pictures")
    parser.add_argument("--overlays", type=Path, metavar="DIR", help="draw the worst frames as PNG")
    words = "cines of the labels, found by UID (default: the file beside the label)"
    parser.add_argument("--studies", type=Path, metavar="DIR", help=words)
    parser.add_argument("--fail", action="store_true", help="exit code 1 if anything is found")
    add_label_arguments(parser, statistics=True)


@dataclass(frozen=True, eq=False)
class _Flagged:
    """A frame with findings, the worst first."""

    file: Path
    label: CineLabel
    findings: tuple[Finding, ...]

    @property
    def frame(self) -> int:
        return self.findings[0].frame

    @property
    def place(self) -> str:
        author = "" if self.label.revision is None else f", version {self.label.revision.number} by {self.label.revision.author}"
        return f"{self.file} frame {self.frame}{author}"


def run(args: argparse.Namespace) -> int:
    """Check, print and write; returns the exit code. Raises ValueError for an unknown rule or a damaged file of statistics."""
    from monai_tavr.keypoints import load_schema
    from monai_tavr.plausibility import RULES, check_label

    unknown = sorted(set(args.ignore) - set(RULES))
    if unknown or args.worst < 1:
        raise ValueError(f"--ignore {unknown[0]}: rules are {', '.join(RULES)}" if unknown else "--worst: give at least 1")
    schema, statistics = load_schema(args.schema), chosen_statistics(args)
    read, failed = _read(args.paths, schema)
    predictions, without = stored_predictions(args, schema), 0
    flagged: list[_Flagged] = []
    for file, label in read:
        predicted = None if predictions is None else predicted_for(predictions, file, label)
        without += predictions is not None and predicted is None
        found = check_label(label, schema=schema, predictions=predicted, statistics=statistics)
        by_frame: dict[int, list[Finding]] = {}
        for f in found:
            if f.rule not in args.ignore:
                by_frame.setdefault(f.frame, []).append(f)
        flagged += [_Flagged(file, label, tuple(findings)) for findings in by_frame.values()]
    flagged.sort(key=lambda f: -f.findings[0].score)  # stable: equal ones stay in the order of the files
    summary = _summary(read, flagged)
    _report(args, flagged, summary, read)
    if without:
        print(f"note: {without} of {len(read)} labels have no predictions there", file=sys.stderr)
    if failed:
        print(f"{len(failed)} failed:", *(f"  {words}" for words in failed), sep="\n", file=sys.stderr)
    if not read:
        return 2
    return 1 if failed or (args.fail and flagged) else 0


def _read(paths: Sequence[Path], schema: KeypointSchema) -> tuple[list[tuple[Path, CineLabel]], list[str]]:
    """Labels with their files, and what could not be read."""
    from monai_tavr.formats.label_json import read_label_json
    from monai_tavr.formats.stored_labels import find_label_files

    read: list[tuple[Path, CineLabel]] = []
    failed, others = [], 0
    for path in paths:
        try:
            files, foreign = find_label_files(path)
        except (ValueError, OSError) as error:
            failed.append(str(error))
            continue
        others += len(foreign)
        for file in files:
            try:
                read.append((file, read_label_json(file, schema=schema)))
            except (ValueError, OSError) as error:
                failed.append(str(error))
    if others:
        print(f"note: {others} JSON files there hold no labels", file=sys.stderr)
    return read, failed


def _summary(read: Sequence[tuple[Path, CineLabel]], flagged: Sequence[_Flagged]) -> str:
    frames = sum(bool(k.labelled is not None and k.labelled.any()) for _, label in read for k in label.frames)
    number = sum(len(f.findings) for f in flagged)
    part = f" ({len(flagged) / frames:.1%})" if frames else ""
    return f"{number} findings on {len(flagged)} of {frames} labelled frames{part} of {len(read)} cines"


def _report(args: argparse.Namespace, flagged: Sequence[_Flagged], summary: str, read: Sequence[tuple[Path, CineLabel]]) -> None:
    from monai_tavr.files import replacing, write_json_atomically

    worst = flagged[: args.worst]
    for frame in worst:
        for f in frame.findings:
            print(f"{f.score:6.1f}  {f.rule:10s}{frame.place}: {f.message}")
    if len(worst) < len(flagged):
        print(f"... and {len(flagged) - len(worst)} more frames (--worst)")
    print(summary)
    rows = [_row(frame, f) for frame in flagged for f in frame.findings]
    if args.json is not None:
        content = {"labels": len(read), "summary": summary, "flagged_frames": len(flagged), "findings": rows}
        write_json_atomically(args.json, content)
    if args.csv is not None:
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows({**row, "points": " ".join(row["points"])} for row in rows)
        with replacing(args.csv) as stream:
            stream.write(text.getvalue().encode())
    if args.html is not None or args.overlays is not None:
        _draw(args, worst, summary)


_COLUMNS = ("score", "rule", "file", "frame", "points", "message", "author", "version", "sop_instance_uid")


def _row(frame: _Flagged, finding: Finding) -> dict[str, Any]:
    revision = frame.label.revision
    who = {} if revision is None else {"author": revision.author, "version": revision.number}
    return {"file": str(frame.file), "sop_instance_uid": frame.label.image.sop_instance_uid} | finding.to_dict() | who


def _draw(args: argparse.Namespace, worst: Sequence[_Flagged], summary: str) -> None:
    """The page and the pictures, of frames whose image is there."""
    from monai_tavr.dicom.open import open_cine
    from monai_tavr.drawing.findings_page import FlaggedFrame, draw_flagged, write_findings_page
    from monai_tavr.drawing.overlay import display_window, to_display, write_png

    images = _Images(args.studies)
    drawn, blind = [], 0
    for position, flagged in enumerate(worst):
        picture, image = None, images.of(flagged.file, flagged.label)
        if image is None:
            blind += 1
        else:
            cine = open_cine(image)
            pixels = to_display(cine.frame(flagged.frame), window=display_window(cine.frames([flagged.frame])))
            picture = draw_flagged(pixels, flagged.label.frame(flagged.frame), flagged.findings)
            if args.overlays is not None:
                args.overlays.mkdir(parents=True, exist_ok=True)
                write_png(args.overlays / f"suspicious_{position:02d}_{image.stem}_frame{flagged.frame:03d}.png", picture)
        drawn.append(FlaggedFrame(flagged.place, flagged.findings, picture))
    if args.html is not None:
        write_findings_page(args.html, drawn, summary=summary)
    if blind:
        print(f"note: {blind} frames have no picture: no cine beside the label; name their folder by --studies", file=sys.stderr)


class _Images:
    """Where the images of labels are: beside them under the same name, or below a folder by their UID."""

    def __init__(self, studies: Path | None) -> None:
        from monai_tavr.dicom import find_cines, open_cine

        self._by_uid: dict[str, Path] = {}
        for path in [] if studies is None else find_cines(studies):
            try:
                info = open_cine(path).info
            except (ValueError, OSError) as error:
                print(f"note: {path}: {error}", file=sys.stderr)
                continue
            uid = info.image_info.uid
            if uid is not None:
                self._by_uid[uid] = path

    def of(self, file: Path, label: CineLabel) -> Path | None:
        """The image of a label, or None."""
        uid = label.image.uid
        beside = (file.with_name(file.stem + suffix) for suffix in (".dcm", ".png", ".jpg", ".jpeg", ".nii.gz", ".nii"))
        return self._by_uid.get(uid or "") or next((p for p in beside if p.is_file()), None)
