"""``monai-tavr phantom``: synthetic angiography cines with exact labels."""

from __future__ import annotations

import argparse
from pathlib import Path

from monai_tavr.dicom.writer import SYNTAXES
from monai_tavr.phantom.generate import generate_dataset
from monai_tavr.phantom.presets import PRESETS

__all__ = ["add_arguments", "run"]

_EPILOG = """presets:
{presets}

examples:
  monai-tavr phantom --preset demo --out demo && monai-tavr serve --studies demo
  monai-tavr phantom --preset tavr81 --seed 0 --out data/tavr81
  monai-tavr phantom --preset variety --patients 100 --seed 1 --size 256 --out data/variety

Made are DIR/P000/C00.dcm (patient 0, first cine) with its exact labels in C00.json, and datalist.json, which deals the patients
out to training, validation and test. The same settings give the same files; the same command finishes an interrupted data set.
docs/phantom.md says how the pictures are made and what they lack."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``monai-tavr phantom``."""
    parser.epilog = _EPILOG.format(presets="\n".join(f"  {name:10s}{p.description}" for name, p in PRESETS.items()))
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder of the data set; an interrupted one is finished"
    )
    parser.add_argument(
        "--preset",
        default="tavr81",
        choices=list(PRESETS),
        metavar="NAME",
        help="kind of data set, see below (default: %(default)s)",
    )
    parser.add_argument("--patients", type=int, metavar="N", help="number of patients (default: the preset's)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="other patients for another seed (default: %(default)s)")
    parser.add_argument(
        "--size", type=int, metavar="N", help="rows and columns, a multiple of 16 (default: the preset's, mostly 512)"
    )
    parser.add_argument("--bits", type=int, choices=(8, 12), help="stored bits per pixel (default: 8)")
    parser.add_argument(
        "--syntax",
        choices=sorted(SYNTAXES),
        metavar="NAME",
        help=f"DICOM transfer syntax (default: explicit-le): {', '.join(sorted(SYNTAXES))}",
    )
    parser.add_argument(
        "--backgrounds",
        type=Path,
        metavar="DIR",
        help="real frames (DICOM, PNG, JPEG), yours for instance, to draw devices and opacified roots onto",
    )
    parser.add_argument(
        "--schema",
        default="tavr11",
        metavar="NAME|FILE",
        help="keypoint schema of the labels (default: %(default)s); points that the phantom does not draw are unlabelled",
    )
    parser.add_argument(
        "--root-masks", action="store_true", help="write the mask of the opacified root of each cine too (docs/phantom.md)"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """``monai-tavr phantom``: 0 when the data set is complete; raises ValueError for what the user must change."""
    datalist = generate_dataset(
        args.out,
        preset=args.preset,
        patients=args.patients,
        seed=args.seed,
        size=args.size,
        bits=args.bits,
        syntax=args.syntax,
        backgrounds=args.backgrounds,
        schema=args.schema,
        root_masks=args.root_masks,
        workers=args.workers,
        progress=not args.quiet,
    )
    print(datalist)
    return 0
