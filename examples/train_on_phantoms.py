"""Make synthetic patients, train on them with the MONAI bundle, and measure the result on patients that it has not seen.

    python examples/train_on_phantoms.py                 # less than a minute: shows the way, learns next to nothing
    python examples/train_on_phantoms.py --real          # 81 patients and the full length: a GPU, or patience

Another loss, backbone or schema is a line of configs/train.yaml, or a setting given here: see CONTRIBUTING.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from monai.bundle import run

from monai_tavr import Bundle, generate_dataset

# Few steps, from the shipped weights, so that even this has figures to show.
SHORT: dict[str, Any] = {"batch_size": 4, "num_workers": 0}
SHORT_TRAINING: dict[str, Any] = {"max_epochs": 1, "iterations_per_epoch": 4, "val_interval": 1}
SHORT_TRAINING |= {"learning_rate": 1e-4, "warmup_iterations": 2, "initial_weights": str(Bundle.find().weights)}


def main() -> None:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", action="store_true", help="the data and the length of a real training, from scratch")
    parser.add_argument("--out", type=Path, default=Path("runs/example"), help="folder to write to (default: runs/example)")
    args = parser.parse_args()
    bundle, data, trained = Bundle.find(), args.out / "data", args.out / "train"

    # 1. Data: DICOM cines, their label files, and datalist.json with the patients in training, validation and test.
    generate_dataset(data, preset="tavr81" if args.real else "tiny")

    # 2. Training. Everything in configs/train.yaml can be set here; the same command goes on where it was stopped.
    shared: dict[str, Any] = {"bundle_root": str(bundle.root), "dataset_dir": str(data), "logging_file": False}
    shared |= {} if args.real else SHORT
    length: dict[str, Any] = {} if args.real else SHORT_TRAINING
    run(config_file=str(bundle.root / "configs" / "train.yaml"), output_dir=str(trained), **shared, **length)

    # 3. Figures on the test patients, with the best weights by validation. There are no thresholds for them yet, so 0.5 holds;
    #    `monai-tavr thresholds` chooses better ones on the validation patients.
    weights = {"ckpt_path": str(trained / "model.pt"), "thresholds_path": str(trained / "thresholds.json")}
    run(config_file=str(bundle.root / "configs" / "evaluate.yaml"), output_dir=str(args.out / "test"), **shared, **weights)
    figures = json.loads((args.out / "test" / "metrics.json").read_text())
    print({name: figures[name] for name in ("n_frames", "f1", "f1_within_20px", "mean_error_px")})
    print(f"weights: {trained / 'model.pt'}; all figures and the worst frames: {args.out / 'test'}")


if __name__ == "__main__":
    main()
