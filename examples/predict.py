"""Find the keypoints of a cine: its points as a label file, and a film with the points drawn in.

python examples/predict.py run.dcm --out results     # DICOM XA, a folder of single frames, pictures or NIfTI
python examples/predict.py                           # without a cine a synthetic one is made first
"""

from __future__ import annotations

import argparse
from pathlib import Path

import monai_tavr as tavr


def synthetic_cine(folder: Path) -> Path:
    """A cine of a synthetic patient; its true points lie beside it, in a label file of the same name."""
    tavr.generate_dataset(folder, preset="tiny", patients=1, size=256, workers=1, progress=False)
    return tavr.find_cines([folder])[0]


def main() -> None:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cine", nargs="?", type=Path)
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder to write to (default: results)")
    args = parser.parse_args()

    # Build the predictor once and use it for many cines: it loads the network and its weights.
    predictor = tavr.KeypointPredictor()
    cine = tavr.open_cine(args.cine or synthetic_cine(args.out / "phantom"))

    # stream() gives frame after frame; predict() would give the list of keypoints alone. Do you know the stage of the procedure?
    # Then say so: predictor.stream(cine, allowed_groups=["anatomical"]) makes all other groups absent.
    predictions = list(predictor.stream(cine))
    for prediction in predictions:
        points = prediction.keypoints  # xy is (K, 2) native pixels (x, y), NaN where a point is absent; score is (K,)
        seen = zip(points.schema.names, points.xy, points.visible, strict=True)
        print(f"frame {points.frame}:", ", ".join(f"{name} ({x:.0f}, {y:.0f})" for name, (x, y), there in seen if there))

    args.out.mkdir(parents=True, exist_ok=True)
    tavr.write_label_json(args.out / "points.json", predictor.label(cine, predictions))
    window = tavr.display_window(cine.frames())  # one for all frames, so that the film does not flicker
    pictures = (
        tavr.draw_overlay(tavr.to_display(cine.frame(p.keypoints.frame), window=window), p.keypoints, spread=p.spread)
        for p in predictions
    )
    tavr.write_gif(args.out / "overlay.gif", pictures, fps=tavr.frame_rate(cine.info.frame_times))
    print(f"points and film are in {args.out}")


if __name__ == "__main__":
    main()
