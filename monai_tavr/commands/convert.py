"""``monai-tavr convert``: labels from one format to another, and labelled pictures to a datalist to train on."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_tavr.commands.options import noting_warnings, parse_names
from monai_tavr.formats.table import FORMATS, Format, LossWarning

if TYPE_CHECKING:
    import numpy as np

    from monai_tavr.cine import CineInfo
    from monai_tavr.label import CineLabel
    from monai_tavr.training.labelled_pictures import WrittenDatalist

__all__ = ["add_arguments", "run"]

_DATALIST = "datalist"

_EPILOG = """examples:
  monai-tavr convert results/run.json run.csv
  monai-tavr convert results/ coco.json --to coco
  monai-tavr convert segmentation_point/ data --to datalist --others-absent
  monai-tavr convert a.mrk.json b.mrk.json run.json --image run.dcm --author Ann

Formats: {formats}, and to a datalist.
docs/formats.md says what each is for and what it does not keep. A format that name or content tells need not be stated;
plain .json and .csv are our own. Several files of Slicer's are the point lists of one cine. Of formats that hold one cine,
several are written into the folder OUT. What cannot be read does not stop the others; it is named at the end, and the exit
code is 1."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    readable = [f.name for f in FORMATS.values() if f.reader]
    writable = [f.name for f in FORMATS.values() if f.writer]
    parser.epilog = _EPILOG.format(formats=", ".join(FORMATS))
    parser.add_argument("inputs", nargs="+", type=Path, metavar="IN", help="files or folders with labels")
    parser.add_argument("out", type=Path, metavar="OUT", help="file or folder to write")
    parser.add_argument("--from", dest="source", choices=readable, metavar="FORMAT", help="format of IN, if it does not tell")
    parser.add_argument("--to", choices=[*writable, _DATALIST], metavar="FORMAT", help="format of OUT, if its name does not tell")
    parser.add_argument("--schema", default="tavr11", metavar="NAME|FILE", help="keypoint schema (default: tavr11)")
    parser.add_argument("--quiet", action="store_true", help="print failures and losses only")
    reading = parser.add_argument_group("reading")
    reading.add_argument("--image", type=Path, metavar="FILE", help="the labelled cine, where the format says nothing of it")
    reading.add_argument("--author", metavar="NAME", help="who placed the points (Slicer)")
    reading.add_argument(
        "--others-absent", action="store_true", help="where a picture has points, asked for and missing ones are absent"
    )
    reading.add_argument("--ignore", type=parse_names, default=(), metavar="NAMES", help="points and classes to pass over")
    reading.add_argument("--spacing", type=Path, metavar="FILE", help="table with pixel_spacing_row_mm of pictures or cases")
    splitting = parser.add_argument_group("datalist")
    splitting.add_argument("--patient", metavar="REGEX", help="finds the patient in a picture's path (default: its folder)")
    splitting.add_argument(
        "--fractions", type=_fractions, metavar="A,B,C", help="shares of training, validation, test (default: 0.7,0.15,0.15)"
    )
    splitting.add_argument(
        "--root-mask", type=parse_names, metavar="NAMES", help="Supervisely's classes whose masks are the aortic root, to be kept"
    )
    splitting.add_argument("--seed", type=int, default=0, metavar="N", help="of the deal of patients (default: 0)")


def _fractions(text: str) -> dict[str, float]:
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) != 3 or any(not s >= 0 for s in shares) or abs(sum(shares) - 1) > 1e-6:
        raise argparse.ArgumentTypeError(f"{text!r} are no three shares that add up to 1, e.g. 0.7,0.15,0.15")
    return dict(zip(("training", "validation", "test"), shares, strict=True))


@dataclass(frozen=True)
class _Source:
    """What is read in one go, and the folder below which its pictures lie."""

    paths: tuple[Path, ...]
    format: Format

    @property
    def named(self) -> str:
        return ", ".join(map(str, self.paths))

    @property
    def root(self) -> Path:
        return self.paths[0] if self.paths[0].is_dir() else self.paths[0].parent


def run(args: argparse.Namespace) -> int:
    """Convert; returns 0, 1 if some inputs failed, or 2 if none could be read. Raises ValueError where nothing can be done."""
    target = _target(args)
    failed: list[tuple[str, str]] = []
    sources = _sources(args, failed)
    options = _options(args, sources)
    read: list[tuple[_Source, list[CineLabel]]] = []
    for source in sources:
        try:
            read.append((source, _read(source, options, args)))
        except (ValueError, OSError) as error:
            if args.debug:
                raise
            failed.append((source.named, str(error).removeprefix(f"{source.named}: ")))
    labels = _named([(source, label) for source, found in read for label in found], target)
    if read and not labels:
        raise ValueError(f"{read[0][0].named}: no label in it")
    if labels and target is None:
        failed += _write_datalist(read, args)
    elif labels and target is not None:
        _write(labels, target, options.get("image"), args)
    if failed:
        print(f"{len(failed)} failed:", file=sys.stderr)
        for name, reason in failed:
            print(f"  {name}: {reason}", file=sys.stderr)
    return (1 if labels else 2) if failed else 0


def _target(args: argparse.Namespace) -> Format | None:
    """What to write; None is a datalist."""
    from monai_tavr.formats.guess import format_of_name

    if args.to == _DATALIST:
        return None
    for name, default in (("patient", None), ("fractions", None), ("root_mask", None), ("seed", 0)):
        if getattr(args, name) != default:
            raise ValueError(f"--{name.replace('_', '-')} is for --to {_DATALIST}")
    return FORMATS[args.to] if args.to else format_of_name(args.out)


def _sources(args: argparse.Namespace, failed: list[tuple[str, str]]) -> list[_Source]:
    """The inputs with their formats; a folder of a format that is a file stands for its files."""
    from monai_tavr.formats.guess import NO_LABELS, guess_format

    found: list[_Source] = []
    for path in args.inputs:
        try:
            if not path.exists():
                raise FileNotFoundError("no such file or folder")
            form = FORMATS[args.source] if args.source else guess_format(path)
            files = [path]
            if path.is_dir() and not form.is_folder:
                named = (p for p in path.rglob("*") if p.name.lower().endswith(form.extensions) and p.name not in NO_LABELS)
                files = sorted(p for p in named if p.is_file())
                if not files:
                    raise ValueError(f"no {form.title} (*{form.extensions[0]}) in this folder")
            found += [_Source((file,), form) for file in files]
        except (ValueError, OSError) as error:
            failed.append((str(path), str(error).removeprefix(f"{path}: ")))
    lists = [source for source in found if source.format.name == "markups"]
    joined = [_Source(tuple(p for s in lists for p in s.paths), FORMATS["markups"])] if lists else []
    return [source for source in found if source.format.name != "markups"] + joined


def _options(args: argparse.Namespace, sources: Sequence[_Source]) -> dict[str, Any]:
    """What readers are told, by keyword. Raises ValueError for an option that no format among the inputs takes."""
    from monai_tavr.dicom import open_cine
    from monai_tavr.formats.spacings import read_spacings

    with noting_warnings():
        spacings = read_spacings(args.spacing) if args.spacing else None
    given: dict[str, Any] = {
        "image": open_cine(args.image).info if args.image else None,
        "author": args.author,
        "others_absent": args.others_absent or None,
        "ignore": args.ignore or None,
        "spacings": spacings,
    }
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if sources and name != "image" and not any(name in s.format.options for s in sources):
            option = {"spacings": "spacing"}.get(name, name).replace("_", "-")
            raise ValueError(f"--{option} says nothing to {' and '.join(dict.fromkeys(s.format.title for s in sources))}")
    return given


def _read(source: _Source, options: dict[str, Any], args: argparse.Namespace) -> list[CineLabel]:
    from monai_tavr.keypoints import load_schema

    chosen = {name: value for name, value in options.items() if name in source.format.options}
    path: Any = source.paths[0] if len(source.paths) == 1 else source.paths
    with noting_warnings():
        labels = source.format.read(path, schema=load_schema(args.schema), **chosen)
    if not any(label.frames for label in labels):
        raise ValueError("no labelled frame in it")
    if not args.quiet:
        points = sum(int(k.visible.sum()) for label in labels for k in label.frames)
        print(f"{source.named}: {source.format.title}, {points} points on {_frames(labels)} of {_cines(labels)}", flush=True)
    return labels


def _frames(labels: Sequence[CineLabel]) -> str:
    number = sum(len(label.frames) for label in labels)
    return f"{number} frame{'s' * (number != 1)}"


def _cines(labels: Sequence[CineLabel]) -> str:
    return f"{len(labels)} cine{'s' * (len(labels) != 1)}"


def _named(read: Sequence[tuple[_Source, CineLabel]], target: Format | None) -> list[CineLabel]:
    """The labels; those without a name get that of their file where the format tells cines apart by names."""
    if target is None or target.one_cine:
        return [label for _, label in read]
    taken = {label.name for _, label in read if label.name is not None}
    labels = []
    for source, label in read:
        if label.name is None:
            stem = _stem(source)
            name = next(n for n in (stem, *(f"{stem}-{k}" for k in range(2, len(read) + 2))) if n not in taken)
            taken.add(name)
            label = replace(label, name=name)
        labels.append(label)
    return labels


def _stem(source: _Source) -> str:
    name = source.paths[0].name
    end = next((e for e in source.format.extensions if name.lower().endswith(e)), "")
    return name[: len(name) - len(end)] or name


def _write(labels: Sequence[CineLabel], target: Format, image: CineInfo | None, args: argparse.Namespace) -> None:
    """Write the file, or several into a folder, and say what is lost."""
    into_folder = target.one_cine and (len(labels) > 1 or args.out.is_dir())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LossWarning)  # said below, in one line
        if not into_folder:
            target.write(args.out, labels, image=image)
        else:
            if target.needs_image and len(labels) > 1:
                raise ValueError(f"{len(labels)} cines, but --image is one; convert them one by one to {target.title}")
            names = [
                (label.name or label.image.sop_instance_uid or f"cine{n}").replace("/", "_") for n, label in enumerate(labels)
            ]
            if len(set(names)) < len(names):
                raise ValueError("two cines have one name; convert them one by one")
            for name, label in zip(names, labels, strict=True):
                target.write(args.out / f"{name}{target.extensions[0]}", [label], image=image)
    for words in target.lost(labels):
        print(f"not kept by {target.title}: {words}", file=sys.stderr)
    if not args.quiet:
        print(f"{args.out}: {target.title}, {_frames(labels)} of {_cines(labels)}")


def _write_datalist(read: Sequence[tuple[_Source, list[CineLabel]]], args: argparse.Namespace) -> list[tuple[str, str]]:
    """Write the datalist; returns what could not be used."""
    from tqdm import tqdm

    from monai_tavr.training.labelled_pictures import write_datalist

    total = sum(len(label.frames) for _, labels in read for label in labels)
    with tqdm(total=total, desc="pictures", unit="picture", leave=False, disable=True if args.quiet else None) as bar:
        written = write_datalist(
            args.out,
            [(source.root, labels) for source, labels in read],
            fractions=args.fractions,
            seed=args.seed,
            patient=args.patient,
            mask=None if args.root_mask is None else partial(_root_mask, classes=args.root_mask),
            progress=bar.update,
        )
    if not args.quiet:
        _report(written, args.out)
    return list(written.failed)


def _root_mask(root: Path, picture: str, *, classes: Sequence[str]) -> np.ndarray | None:
    """(H, W) bool, the mask in the annotation of a picture; None where there is none."""
    from monai_tavr.formats.supervisely_mask import annotation_of, read_supervisely_mask

    annotation = annotation_of(root, picture)
    return None if annotation is None else read_supervisely_mask(annotation, classes=classes)


def _report(written: WrittenDatalist, out: Path) -> None:
    print(f"{out / 'datalist.json'}: split {'as the folders state it' if written.stated else 'by patient'}")
    for split, number in written.pictures.items():
        print(f"  {split}: {number} picture{'s' * (number != 1)} of {len(written.patients[split]) or 'unknown'} patient(s)")
    if written.unlabelled:
        print(f"  left out: {written.unlabelled} without a labelled point")
