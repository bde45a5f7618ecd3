"""``monai-tavr phantom``: synthetic angiography cines with exact labels."""

from __future__ import annotations

import argparse
from pathlib import Path

from monai_tavr.dicom.writer import SYNTAXES
from monai_tavr.phantom.generate import generate_dataset
from monai_tavr.phantom.presets import PRESETS

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``monai-tavr phantom``."""
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder of the data set; an interrupted one is finished"
    )
    parser.add_argument("--preset", default="tavr81", choices=list(PRESETS), help="kind of data set (default: %(default)s)")
    parser.add_argument("--patients", type=int, help="number of patients (default: the preset's)")
    parser.add_argument("--seed", type=int, default=0, help="other patients for another seed (default: %(default)s)")
    parser.add_argument("--size", type=int, help="rows and columns, a multiple of 16 (default: the preset's, mostly 512)")
    parser.add_argument("--bits", type=int, choices=(8, 12), help="stored bits per pixel (default: 8)")
    parser.add_argument("--syntax", choices=sorted(SYNTAXES), help="DICOM transfer syntax (default: explicit-le)")
    parser.add_argument("--workers", type=int, help="processes (default: one per core)")
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
        workers=args.workers,
        progress=not args.quiet,
    )
    print(datalist)
    return 0
