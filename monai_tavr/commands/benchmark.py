"""``monai-tavr benchmark``: the figures that the documentation states, measured anew.

``predict``: how long a cine takes, and which stage of it. ``tracking``: the error between labelled key frames, of a straight
line, of the model and of tracking, against labels that none of them saw. ``read``: what it costs to decode frames in a process of
their own, as the server does. ``rival``: BAMNet's public data (:mod:`monai_tavr.commands.rival`).
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_tavr.commands import rival
from monai_tavr.commands.options import add_model_arguments, build_predictor

if TYPE_CHECKING:
    import numpy as np

    from monai_tavr.cine import Cine
    from monai_tavr.evaluation.frames import LabelledCine
    from monai_tavr.keypoints import Keypoints
    from monai_tavr.predictor import KeypointPredictor

__all__ = ["BetweenKeys", "add_arguments", "between_keys", "run", "time_predict", "time_reading"]

_EPILOG = """examples:
  monai-tavr benchmark predict --source run.dcm --repeat 5 --json speed.json
  monai-tavr benchmark tracking --data data --split test --every 12 --json tracking.json
  monai-tavr benchmark read --source run.dcm
  monai-tavr benchmark rival --data segmentation_point --output rival

`monai-tavr benchmark rival --help` explains one of them."""

_PREDICT = """Seconds from the file to the points, and the share of reading, preparing, network and decoding; without --source for
a cine of 60 noisy frames, 512 x 512. Seconds of all cores together (cpu) say more than those of the clock on a busy machine."""

_TRACKING = """Every N-th frame and the last are key frames and take their labels; on the others the error in pixels of a straight
line between the key frames, of the model alone, and of tracking; and how often each is right about whether a point is there."""

_READ = """Median milliseconds to decode a frame in this process, and in one of its own, as the server does."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = _EPILOG
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    shape = parser.formatter_class
    predict = kinds.add_parser("predict", help="how long a cine takes", description=_PREDICT, formatter_class=shape)
    tracking = kinds.add_parser("tracking", help="the error between key frames", description=_TRACKING, formatter_class=shape)
    read = kinds.add_parser("read", help="what decoding apart costs", description=_READ, formatter_class=shape)
    rival.add_arguments(kinds.add_parser("rival", help=rival.SUMMARY, formatter_class=shape))
    for timed in (predict, read):
        timed.add_argument("--source", type=Path, metavar="PATH", required=timed is read, help="the cine")
        timed.add_argument("--repeat", type=int, default=5, metavar="N", help="how often, after a first time (default: 5)")
    tracking.add_argument(
        "--data", type=Path, required=True, metavar="DATALIST", help="datalist JSON, or the folder that holds it"
    )
    tracking.add_argument(
        "--split", choices=["train", "val", "test", "all"], default="test", help="which patients (default: test)"
    )
    tracking.add_argument("--every", type=int, default=12, metavar="N", help="key frames N frames apart (default: 12)")
    tracking.add_argument("--cines", type=int, metavar="N", help="only N cines, spread over the split")
    for kind in (predict, tracking, read):
        kind.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    add_model_arguments(predict)
    add_model_arguments(tracking)


def run(args: argparse.Namespace) -> int:
    """Measure, print and write. Raises ValueError for a ``--repeat`` or ``--every`` that measures nothing."""
    from monai_tavr.files import write_json_atomically

    if args.what == "rival":
        return rival.run(args)
    if args.what == "tracking" and args.every < 2:
        raise ValueError(f"--every must be at least 2, got {args.every}")
    if args.what in ("predict", "read") and args.repeat < 1:
        raise ValueError(f"--repeat must be at least 1, got {args.repeat}")
    if args.what == "read":
        report = _read(args)
    else:
        predictor = build_predictor(args)
        report = _predict(predictor, args) if args.what == "predict" else _tracking(predictor, args)
        report |= {"model": predictor.author, "precision": predictor.precision, "device": str(predictor.device)}
    if args.json is not None:
        write_json_atomically(args.json, report)
    return 0


# ---- reading


def time_reading(source: Path, *, repeat: int) -> dict[str, float]:
    """Milliseconds per frame.

    Args:
        source: a DICOM cine.
        repeat: how often every frame is decoded; a first time is not counted.

    Returns:
        Medians: ``inside`` this process, ``outside`` it, and their difference ``cost``.
    """
    import numpy as np

    from monai_tavr.dicom import open_cine
    from monai_tavr.dicom.sandbox import Sandbox

    box = Sandbox(processes=1)
    medians = {}
    for name, cine in (("inside", open_cine(source)), ("outside", box.open_series([source]))):
        times = []
        for turn in range(repeat + 1):
            for frame in range(len(cine)):
                begun = time.perf_counter()
                cine.load(frame)
                times += [time.perf_counter() - begun] if turn else []
        medians[name] = 1000 * float(np.median(times))
    box.close()
    return medians | {"cost": medians["outside"] - medians["inside"]}


def _read(args: argparse.Namespace) -> dict[str, Any]:
    report = time_reading(args.source, repeat=args.repeat)
    print("milliseconds per frame: {inside:.2f} in this process, {outside:.2f} in one of its own: {cost:+.2f}".format(**report))
    return report


# ---- speed


def time_predict(predictor: KeypointPredictor, cine: Callable[[], Cine], *, repeat: int) -> dict[str, Any]:
    """Seconds per cine.

    Args:
        predictor: the model.
        cine: opens the cine anew each time, so that no frame is decoded already.
        repeat: how often; a first time is not counted, for libraries set themselves up in it.

    Returns:
        ``median_s`` and ``p95_s`` of the clock, ``cpu_s`` median of all cores together, ``first_s``, ``frames``, and ``stages``:
        share of the time of one core that each stage takes.
    """
    import numpy as np

    clock, cpu = [], []
    for _ in range(repeat + 1):
        started, used = time.perf_counter(), time.process_time()
        frames = len(predictor.predict(cine()))
        clock.append(time.perf_counter() - started)
        cpu.append(time.process_time() - used)
    return {
        "frames": frames,
        "median_s": float(np.median(clock[1:])),
        "p95_s": float(np.percentile(clock[1:], 95)),
        "cpu_s": float(np.median(cpu[1:])),
        "first_s": clock[0],
        "stages": _stages(predictor, cine()),
    }


def _stages(predictor: KeypointPredictor, cine: Cine) -> dict[str, float]:
    """Share of each stage, of frames that go through them one batch after the other."""
    spent = dict.fromkeys(("read", "prepare", "network", "all but reading"), 0.0)

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        used = time.process_time()
        result = work()
        spent[stage] += time.process_time() - used
        return result

    for start in range(0, len(cine), predictor.batch_size):
        indices = range(start, min(start + predictor.batch_size, len(cine)))
        pixels = timed("read", partial(cine.frames, indices))
        inputs, _ = timed("prepare", partial(predictor.prepare, pixels))
        timed("network", partial(predictor.compute, inputs))
        timed("all but reading", partial(predictor.predict, pixels))
    rest = spent.pop("all but reading") - spent["prepare"] - spent["network"]
    spent["decode"] = max(rest, 0.0)
    total = sum(spent.values()) or 1.0
    return {stage: seconds / total for stage, seconds in spent.items()}


def _noise(frames: int = 60, side: int = 512) -> Cine:
    """What a network computes on is all the same to it; a file is read in no time here."""
    import numpy as np

    from monai_tavr.cine import Cine, CineInfo

    info = CineInfo(path=Path("noise"), rows=side, columns=side, number_of_frames=frames)
    return Cine(info, lambda index: np.random.default_rng(index).normal(120, 40, (side, side)).astype(np.float32))


def _predict(predictor: KeypointPredictor, args: argparse.Namespace) -> dict[str, Any]:
    from monai_tavr.dicom import open_cine

    report = time_predict(predictor, _noise if args.source is None else lambda: open_cine(args.source), repeat=args.repeat)
    print(f"{report['frames']} frames: median {report['median_s']:.2f} s, p95 {report['p95_s']:.2f} s", end="")
    print(f" (all cores together {report['cpu_s']:.2f} s; the first time {report['first_s']:.2f} s)")
    print("stages: " + ", ".join(f"{name} {share:.0%}" for name, share in report["stages"].items()))
    return report


# ---- tracking


@dataclass(frozen=True, eq=False)
class BetweenKeys:
    """One frame between two key frames: its label and what each method says; ``frame`` of all is the same."""

    truth: Keypoints
    found: Mapping[str, Keypoints]


def between_keys(cine: LabelledCine, predictor: KeypointPredictor, *, every: int) -> Iterator[BetweenKeys]:
    """Every labelled frame between key frames ``every`` frames apart, the last labelled frame being one too."""
    from monai_tavr.dicom import open_cine
    from monai_tavr.tracking import track_between

    opened = open_cine(cine.image)
    truths = {k.frame: k for k in cine.label.frames if k.frame in cine.frames}
    first, last = min(truths), max(truths)
    keys = [f for f in range(first, last, every) if f in truths] + [last]
    if len(keys) < 2:
        return
    predictions = predictor.predict_label(opened, frames=range(first, last + 1))
    predicted = {k.frame: k for k in predictions.frames}
    for a, b in itertools.pairwise(keys):
        tracked = track_between(opened, truths[a], truths[b], predictions=predictions)
        for k in tracked:
            if k.frame in truths:
                line = _straight(truths[a], truths[b], k.frame)
                yield BetweenKeys(truths[k.frame], {"line": line, "model": predicted[k.frame], "tracking": k})


def _straight(start: Keypoints, end: Keypoints, frame: int) -> Keypoints:
    """The points on a straight line; one that only one key frame shows is there in the half next to it."""
    from dataclasses import replace

    import numpy as np

    later = (frame - start.frame) / (end.frame - start.frame)
    xy = (1 - later) * start.xy + later * end.xy
    nearer = start.xy if later < 0.5 else end.xy
    return replace(start, xy=np.where(np.isnan(xy), nearer, xy), score=None, frame=frame)


def _errors(frames: list[BetweenKeys], method: str) -> np.ndarray:
    """Errors in pixels of the points that are visible and found by all methods, so that all are judged by the same."""
    import numpy as np

    errors = []
    for f in frames:
        there = f.truth.visible & np.all([k.visible for k in f.found.values()], axis=0)
        errors.append(np.linalg.norm(f.found[method].xy - f.truth.xy, axis=1)[there])
    return np.concatenate(errors)


def _tracking(predictor: KeypointPredictor, args: argparse.Namespace) -> dict[str, Any]:
    import numpy as np

    from monai_tavr.commands.data import labelled_cines

    cines = labelled_cines(args, predictor.schema)
    chosen = np.linspace(0, len(cines) - 1, min(args.cines or len(cines), len(cines))).round().astype(int)
    frames = [f for i in chosen for f in between_keys(cines[i], predictor, every=args.every)]
    if not frames:
        raise ValueError(f"{args.data}: no cine of split {args.split!r} has a frame between two key frames")
    report: dict[str, Any] = {"data": str(args.data), "split": args.split, "every": args.every, "cines": len(chosen)}
    report |= {"frames": len(frames), "methods": {}}
    print(f"{len(frames)} frames of {len(chosen)} cines between key frames {args.every} apart")
    print(f"{'':10s}{'median px':>11s}{'mean px':>11s}{'p95 px':>11s}{'presence right':>16s}")
    for method in ("line", "model", "tracking"):
        errors = _errors(frames, method)
        right = np.mean([f.found[method].visible == f.truth.visible for f in frames])
        median, mean, p95 = np.median(errors), errors.mean(), np.percentile(errors, 95)
        print(f"{method:10s}{median:11.2f}{mean:11.2f}{p95:11.2f}{right:16.3f}")
        figures = {"median_error_px": median, "mean_error_px": mean, "p95_error_px": p95, "presence_accuracy": right}
        report["methods"][method] = {name: float(value) for name, value in figures.items()}
    report["points"] = len(errors)
    return report
