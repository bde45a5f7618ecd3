"""``monai-tavr typical``: fit what tells the model's kind of frames from others."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_tavr.commands.options import add_model_arguments, build_predictor, share

if TYPE_CHECKING:
    import numpy as np

    from monai_tavr.predictor import KeypointPredictor

__all__ = ["add_arguments", "run"]

_EPILOG = """example:
  monai-tavr typical --data phantoms --data on_real --negatives coronaries --out models/typical.npz

The file belongs beside the weights that it was fitted with. With it the predictor says of every frame whether it is of the kind
that the model was made for; a frame that is not is still predicted, and marked: in label files, reports, on overlays and in the
viewer ("model not sure this is a TAVR frame"). A model without such a file, or with that of other weights, marks nothing.

--data are datalists of labelled frames; name phantoms and phantom devices on real frames (`phantom --backgrounds`), for beside
phantoms alone every real frame is a stranger. --negatives are real angiograms without devices. What is no angiogram at all is
drawn. A third of the cines, and the last third of the negatives by name, are kept apart: on the former at most --max-flagged of
the frames are marked, and the printed shares are of these thirds and of foreign frames drawn anew."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = _EPILOG
    words = "datalist JSON of labelled frames, or its folder; may be repeated"
    parser.add_argument("--data", type=Path, required=True, action="append", metavar="DATALIST", help=words)
    words = "real angiograms (DICOM, PNG, JPEG) without delivery catheter and valve"
    parser.add_argument("--negatives", type=Path, required=True, metavar="DIR", help=words)
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to (default: typical.npz beside the weights)")
    parser.add_argument("--frames", type=int, default=400, metavar="N", help="of each set, evenly spread (default: 400)")
    parser.add_argument("--each", type=int, default=24, metavar="N", help="foreign frames of each kind (default: 24)")
    words = "largest share of labelled frames to mark (default: 0.01)"
    parser.add_argument("--max-flagged", type=share, default=0.01, metavar="SHARE", help=words)
    add_model_arguments(parser, precision="fp32")


def run(args: argparse.Namespace) -> int:
    """Fit, print and write. Raises ValueError where there are too few frames."""
    import numpy as np

    from monai_tavr.evaluation.foreign_frames import foreign_frames
    from monai_tavr.evaluation.typicality import every_third, fit_typicality
    from monai_tavr.typicality import FILE_NAME

    if args.frames < 6 or args.each < 2:
        raise ValueError(f"--frames {args.frames} and --each {args.each} are too few to fit on; give at least 6 and 2")
    predictor = build_predictor(args)
    sets = {path.name: _labelled(path, args.frames) for path in args.data}
    near = _negatives(args.negatives, args.frames)
    spoiled = [_pixels(*places[i * len(places) // 12]) for places in (*sets.values(), near) for i in range(12)]
    figures = {name: _describe(predictor, (_pixels(*p) for p in places), name, len(places)) for name, places in sets.items()}
    held_out = {name: every_third([path for path, _ in places]) for name, places in sets.items()}
    described_near = _describe(predictor, (_pixels(*p) for p in near), "negatives", len(near))
    kept = len(near) - len(near) // 3  # neighbouring files may be of one patient
    drawn = [_drawn(predictor, foreign_frames(spoiled, each=args.each, seed=seed), args.each) for seed in (0, 1)]
    words = [f"{len(p)} frames of {name}" for name, p in sets.items()] + [
        f"{kept} of {args.negatives.name}, {args.each} of a kind"
    ]
    fitted = fit_typicality(
        np.concatenate(list(figures.values())),
        described_near[:kept],
        np.concatenate(list(drawn[0].values())),
        held_out=np.concatenate(list(held_out.values())),
        max_flagged=args.max_flagged,
        weights_sha256=predictor.weights_sha256,
        fitted_on=", ".join(words),
    )
    out = args.out or predictor.weights.with_name(FILE_NAME)
    fitted.write(out)
    judged = {name: f[held_out[name]] for name, f in figures.items()} | {args.negatives.name: described_near[kept:]} | drawn[1]
    for name, f in judged.items():
        print(f"{name:20s}{(~fitted.typical(f)).sum():5d} of {len(f):4d} marked")
    print(f"{out}: {out.stat().st_size / 1e3:.0f} kB, for weights {predictor.weights_sha256[:12]}")
    return 0


def _labelled(source: Path, count: int) -> list[tuple[str, int]]:
    """(file, frame) of labelled frames of a datalist, spread over its files. Raises ValueError if there are too few."""
    from monai_tavr.training.datasets import expand_frames, load_datalist

    items = load_datalist(source, "all")
    number = min(count, len(items))
    places = []
    for i in range(number):  # of each file its share, and of one after the other the first, the second, ... of its frames
        frames = expand_frames([items[i * len(items) // number]])
        share_of_file = min(-(-count // number), len(frames))
        for j in range(share_of_file):
            item = frames[(i + j * len(frames) // share_of_file) % len(frames)]
            places.append((str(item["image"]), int(item["frame"])))
    return _spread(places, count, source)


def _negatives(folder: Path, count: int) -> list[tuple[str, int]]:
    from monai_tavr.training.negatives import negative_items

    return _spread([(str(item["image"]), int(item["frame"])) for item in negative_items(folder, absent=())], count, folder)


def _spread(places: Sequence[tuple[str, int]], count: int, source: Path) -> list[tuple[str, int]]:
    if len(places) < 6:
        raise ValueError(f"{source}: {len(places)} frames are too few to fit on")
    number = min(count, len(places))
    return [places[i * len(places) // number] for i in range(number)]


def _pixels(path: str, frame: int) -> np.ndarray:
    from monai_tavr.dicom.open import open_cine

    return open_cine(path).frame(frame)


def _describe(predictor: KeypointPredictor, frames: Iterator[np.ndarray], title: str, total: int) -> np.ndarray:
    """(N, D) figures of frames of any sizes, with a progress bar."""
    import numpy as np
    from tqdm import tqdm

    with tqdm(frames, total=total, desc=title, unit="frame", leave=False, disable=None) as bar:
        return np.concatenate([predictor.describe(frame[None]) for frame in bar])


def _drawn(predictor: KeypointPredictor, frames: Iterator[tuple[str, Any]], each: int) -> dict[str, np.ndarray]:
    """Kind -> (N, D) figures."""
    import itertools

    by_kind = itertools.groupby(frames, key=lambda f: f[0])
    return {kind: _describe(predictor, (frame for _, frame in group), kind, each) for kind, group in by_kind}
