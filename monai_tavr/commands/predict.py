"""``monai-tavr predict``: label files and overlays for cines."""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from monai_tavr.commands.options import add_model_arguments, build_predictor, parse_frames, parse_names
from monai_tavr.formats.table import FORMATS, LossWarning

if TYPE_CHECKING:
    import numpy as np

    from monai_tavr.cine import Cine
    from monai_tavr.predictor import FramePrediction, KeypointPredictor

__all__ = ["Job", "add_arguments", "name_outputs", "run"]

_SHEET_FRAMES = 12

_EPILOG = """examples:
  monai-tavr predict run.dcm --out results
  monai-tavr predict study/ other/run.dcm --out results --overlay png --overlay mp4
  monai-tavr predict run.dcm --out results --frames 0-10,20 --stage survey

Inputs are DICOM XA/RF files, folders of them (searched through), a series of single frames, PNG, JPEG and NIfTI.
The points of a/b.dcm go to DIR/b.json. A second input of that name, c/b.dcm, goes to DIR/c_b.json: as many parent folders are
put before the name as it takes; the order of the inputs decides who comes first. Files of an earlier run are replaced whole.
With --format csv, coco, markups, ... it is DIR/b.csv, ...; docs/formats.md says what each format does not keep.
Overlays have the same name: .png (a cine as a sheet of up to 12 frames), .gif, .mp4.
Frames that are none of a TAVR, as far as the model can tell, are counted, marked in the file and written on the overlay.
A file that cannot be read does not stop the others; the summary names it and the exit code is 1."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = _EPILOG
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files, folders, series")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results; made if absent")
    writable = [f.name for f in FORMATS.values() if f.writer]
    parser.add_argument("--format", choices=writable, default="json", help="format of the points (default: json)")
    parser.add_argument(
        "--overlay", choices=["png", "gif", "mp4"], action="append", default=[], help="also draw the points; may be repeated"
    )
    parser.add_argument("--frames", type=parse_frames, metavar="LIST", help="only these frames, e.g. 0-10,20; the first is 0")
    stated = parser.add_mutually_exclusive_group()
    stated.add_argument(
        "--stage", metavar="ID", help="stage of the procedure, one of the schema's, e.g. survey; groups it rules out are absent"
    )
    stated.add_argument("--allowed-groups", type=parse_names, metavar="NAMES", help="the same by groups, e.g. anatomical,contour")
    parser.add_argument("--quiet", action="store_true", help="print failures only")
    add_model_arguments(parser)


@dataclass(frozen=True)
class Job:
    """An input and the name of what is written for it, without folder and suffix."""

    source: Path
    name: str


def _stem(path: Path) -> str:
    if path.is_dir():
        return path.resolve().name
    name = path.name
    for suffix in (".nii.gz", path.suffix if not path.suffix[1:].isdecimal() else ""):
        # an instance named by its UID, 1.2.840.1, has no suffix
        if suffix and name.lower().endswith(suffix.lower()):
            return name[: -len(suffix)] or name
    return name


def name_outputs(sources: Sequence[Path]) -> list[Job]:
    """Give every input a name of its own: its stem, with as many parent folders before it as that takes."""
    taken: set[str] = set()
    jobs = []
    for source in sources:
        folders = [p for p in source.resolve().parent.parts if p != source.anchor]
        candidates = ["_".join([*folders[len(folders) - n :], _stem(source)]) for n in range(len(folders) + 1)]
        candidates += [f"{candidates[-1]}_{n}" for n in range(2, len(sources) + 2)]
        # names that differ in case only are one file on some systems
        name = next(c for c in candidates if c.lower() not in taken)
        taken.add(name.lower())
        jobs.append(Job(source, name))
    return jobs


def _find(paths: Sequence[Path]) -> tuple[list[Path], list[tuple[Path, str]]]:
    """What there is to predict on, each once, and what cannot be found."""
    from monai_tavr.dicom import find_cines

    found: dict[Path, Path] = {}
    failed: list[tuple[Path, str]] = []
    for path in paths:
        try:
            if not path.exists():
                raise FileNotFoundError("no such file or folder")
            cines = find_cines([path]) if path.is_dir() else [path]
            if not cines:
                raise ValueError("no cine in this folder")
            for cine in cines:
                found.setdefault(cine.resolve(), cine)
        except (ValueError, OSError) as error:
            failed.append((path, str(error)))
    return list(found.values()), failed


def run(args: argparse.Namespace) -> int:
    """Predict; returns 0, 1 if some inputs failed, or raises ValueError if there is nothing to do."""
    sources, failed = _find(args.paths)
    predictor = build_predictor(args, allowed_groups=args.allowed_groups, stage=args.stage)
    args.out.mkdir(parents=True, exist_ok=True)
    started, frames, lost = time.perf_counter(), 0, dict[str, None]()
    for job in name_outputs(sources):
        try:
            number, flagged, words = _predict_one(job, predictor, args)
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            if args.debug:
                raise
            failed.append((job.source, str(error).removeprefix(f"{job.source}: ") or type(error).__name__))
            continue
        frames += number
        lost |= dict.fromkeys(words)
        if not args.quiet:
            doubt = f", {flagged} of them perhaps not of a TAVR" if flagged else ""
            print(f"{job.source} -> {_output(job, args)}  ({number} frame{'s' * (number != 1)}{doubt})", flush=True)
    for loss in lost:
        print(f"not kept by {FORMATS[args.format].title}: {loss}", file=sys.stderr)
    _summary(len(sources), frames, time.perf_counter() - started, failed, quiet=args.quiet)
    return 1 if failed else 0


def _summary(files: int, frames: int, seconds: float, failed: Sequence[tuple[Path, str]], *, quiet: bool) -> None:
    if not quiet:
        rate = f", {frames / seconds:.1f} frames per second" if frames else ""
        print(f"{frames} frame{'s' * (frames != 1)} of {files} input{'s' * (files != 1)} in {seconds:.1f} s{rate}")
    if failed:
        print(f"{len(failed)} failed:", file=sys.stderr)
        for path, reason in failed:
            print(f"  {path}: {reason}", file=sys.stderr)


def _output(job: Job, args: argparse.Namespace) -> Path:
    """Where the points of an input go."""
    form = FORMATS[args.format]
    return Path(args.out / f"{job.name}{'' if form.is_folder else form.extensions[0]}")


def _predict_one(job: Job, predictor: KeypointPredictor, args: argparse.Namespace) -> tuple[int, int, list[str]]:
    """Predict and write everything of one input; returns its number of frames, of flagged ones, what the format does not keep."""
    from tqdm import tqdm

    from monai_tavr.dicom import open_cine

    cine = open_cine(job.source)
    for remark in cine.info.remarks:
        print(f"{job.source}: {remark}", file=sys.stderr)
    number = len(cine) if args.frames is None else len(args.frames)
    # disable=None: no bar where nobody watches
    with tqdm(total=number, desc=job.name, unit="frame", leave=False, disable=True if args.quiet else None) as bar:
        found = list(predictor.stream(cine, frames=args.frames, progress=lambda done, _: bar.update(done - bar.n)))
    label, form = predictor.label(cine, found), FORMATS[args.format]
    # a file of several cines tells them apart by their names
    labels = [label if form.one_cine else replace(label, name=job.name)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LossWarning)  # said once, after the last input
        form.write(_output(job, args), labels, image=cine.info)
    for kind in dict.fromkeys(args.overlay):
        _write_overlay(args.out / f"{job.name}.{kind}", kind, cine, found, predictor)
    return number, sum(p.typical is False for p in found), form.lost(labels)


def _write_overlay(path: Path, kind: str, cine: Cine, found: Sequence[FramePrediction], predictor: KeypointPredictor) -> None:
    from monai_tavr.drawing.overlay import contact_sheet, frame_rate, write_gif, write_mp4, write_png

    if kind == "png":
        step = max(1, -(-len(found) // _SHEET_FRAMES))
        chosen = found[::step]
        zoom = max(1, round(1024 / max(cine.info.rows, cine.info.columns))) if len(chosen) == 1 else 1
        write_png(path, contact_sheet(list(_draw(cine, chosen, predictor, zoom=zoom))))
    else:
        fps = frame_rate(cine.info.frame_times)
        write = write_gif if kind == "gif" else write_mp4
        write(path, _draw(cine, found, predictor), fps=fps)


def _draw(cine: Cine, found: Sequence[FramePrediction], predictor: KeypointPredictor, *, zoom: int = 1) -> Iterator[np.ndarray]:
    """One picture after another; the whole cine is never in memory."""
    from monai_tavr.drawing.overlay import display_window, draw_overlay, to_display

    sample = [p.keypoints.frame for p in found[:: max(1, len(found) // 6)]]
    window = display_window(cine.frames(sample))
    for p in found:
        yield draw_overlay(
            to_display(cine.frame(p.keypoints.frame), window=window),
            p.keypoints,
            spread=p.spread if predictor.spread_floor else None,
            thresholds=predictor.postprocess.thresholds,
            title=f"frame {p.keypoints.frame}",
            zoom=zoom,
            typical=p.typical,
        )
