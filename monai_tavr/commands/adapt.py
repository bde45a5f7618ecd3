"""``monai-tavr adapt``: fit the model to a hospital's machines by frames that nobody has labelled."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monai_tavr.training.adaptation import Adaptation

__all__ = ["add_arguments", "run"]

_EPILOG = """examples:
  monai-tavr adapt --frames hospital --out adapted
  monai-tavr adapt --frames hospital --negatives coronaries --out adapted --epochs 10
  monai-tavr predict run.dcm --weights adapted/model.pt --out results
  monai-tavr serve --weights adapted/model.pt --studies hospital

A mean teacher: the running mean of the network looks at each frame, at its mirror image and at its two neighbours, and what all
looks agree upon is taught on the same frame changed in grey levels and geometry, beside labelled phantoms that keep the network
from forgetting. A quarter of the studies is held out. OUT/model.pt is written, with the thresholds of the weights that it started
from, only if the score on validation phantoms is not worse and no more devices are invented; OUT/adaptation.json holds the
figures in any case. Without --phantom, 80 phantom patients with few frames are made in OUT (minutes). The same command goes on
with a run that was stopped. docs/adaptation.md says more. Exit code 1: trained, and not kept."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "--frames", type=Path, required=True, metavar="DIR", help="cines and pictures (DICOM, PNG, JPEG) without labels"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the new weights and of the run")
    parser.add_argument("--epochs", type=int, default=5, metavar="N", help="how often all frames are seen (default: %(default)s)")
    parser.add_argument(
        "--phantom", type=Path, metavar="DATALIST", help="labelled data to learn from beside them, and to be judged by"
    )
    parser.add_argument(
        "--negatives",
        type=Path,
        metavar="DIR",
        help="real frames without delivery catheter and valve; without them phantoms say what is invented",
    )
    parser.add_argument("--learning-rate", type=float, metavar="R", help="its peak (default: that of configs/adapt.yaml)")
    parser.add_argument("--batch-size", type=int, metavar="N", help="frames of each kind in a batch (default: the same)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the training and the phantoms (default: %(default)s)"
    )
    parser.add_argument(
        "--bundle", type=Path, metavar="DIR", help="bundle with 'configs' and 'models' (default: the shipped one)"
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="other weights to start from than the bundle's")
    parser.add_argument("--schema", metavar="NAME|FILE", help="keypoint schema, if not the bundle's")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 (default: cuda if there is one)")


def run(args: argparse.Namespace) -> int:
    """Adapt, print both figures; 1 where the guard objected."""
    import logging

    from monai_tavr.training.adaptation import adapt

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = {"learning_rate": args.learning_rate, "batch_size": args.batch_size, "unlabelled_batch_size": args.batch_size}
    done = adapt(
        args.out,
        frames=args.frames,
        bundle=args.bundle,
        weights=args.weights,
        schema=args.schema,
        phantom=args.phantom,
        negatives=args.negatives,
        epochs=args.epochs,
        seed=args.seed,
        device=args.device,
        settings={name: value for name, value in settings.items() if value is not None},
    )
    print(_table(done))
    if done.weights is None:
        print("not kept: " + "; ".join(done.objections))
        return 1
    print(done.weights)
    return 0


def _table(done: Adaptation) -> str:
    """Both figures side by side."""
    rows = {
        "validation score": lambda j: j.validation["score"],
        "F1": lambda j: j.validation["f1"],
        "mean error px": lambda j: j.validation["mean_error_px"],
        "a group invented, share": lambda j: j.invented,
        "looks agree on presence, share": lambda j: j.agreement["decisions"],
        "mirrored looks differ by px": lambda j: j.agreement["mirror_px"],
        "neighbours differ by px": lambda j: j.agreement["time_px"],
    }
    lines = [f"{'':32s}{'before':>10s}{'after':>10s}"]
    for name, figure in rows.items():
        values = ("-" if (v := figure(j)) is None else f"{v:.4f}" for j in (done.start, done.result))
        lines.append(f"{name:32s}" + "".join(f"{value:>10s}" for value in values))
    return "\n".join(lines)
