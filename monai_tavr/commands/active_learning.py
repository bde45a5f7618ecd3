"""``monai-tavr active-learning``: replay annotation to compare strategies; calibrate the uncertainty of the model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from monai_tavr.commands.options import add_model_arguments, build_predictor, parse_names

if TYPE_CHECKING:
    from monai_tavr.active_learning.simulation import Replay, ReplaySettings
    from monai_tavr.active_learning.student import FrameArrays, Lessons, Student
    from monai_tavr.evaluation.frames import LabelledCine
    from monai_tavr.keypoints import KeypointSchema

__all__ = ["add_arguments", "run"]

_EPILOG = """examples:
  monai-tavr phantom --preset variety --patients 250 --out data/variety
  monai-tavr phantom --preset worklist --out data/worklist
  monai-tavr active-learning simulate --data data/worklist --start-data data/variety --out runs/active_learning
  monai-tavr active-learning calibrate --data data/tavr81

`monai-tavr active-learning simulate --help` explains one of them. docs/active-learning.md says what was measured."""

_SIMULATE = """Replay annotation with hidden labels. A small network is trained on --start-data; then, in every round, each
strategy asks for labels of frames of --data's training patients, the network is fine-tuned on all labels so far from the same
start, and its error is measured on the whole pool and on the test patients. A replay that was stopped goes on when the same
command is given again. Written to --out: rounds.jsonl, rounds.csv, curves.png, and the frames and first weights as a cache."""

_CALIBRATE = """Fit how likely a point has to be corrected, from the model's visibility, group presence and spread, on labelled
frames of patients that the model was not trained on. The result, uncertainty.json, lies beside the weights, and frames are
proposed to annotators by it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = _EPILOG
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    shape = parser.formatter_class
    words = "replay annotation of a labelled data set, to compare strategies"
    _add_simulate(actions.add_parser("simulate", help=words, description=_SIMULATE, formatter_class=shape))
    words = "fit how likely the model's points are wrong, which strategies ask"
    calibrate = actions.add_parser("calibrate", help=words, description=_CALIBRATE, formatter_class=shape)
    calibrate.add_argument("--data", type=Path, required=True, metavar="DATALIST", help="datalist JSON, or its folder")
    calibrate.add_argument("--split", choices=["train", "val", "test", "all"], default="val", help="patients (default: val)")
    calibrate.add_argument("--every", type=int, default=1, metavar="N", help="of each cine, every N-th frame (default: 1)")
    calibrate.add_argument("--out", type=Path, metavar="FILE", help="where to (default: uncertainty.json beside the weights)")
    add_model_arguments(calibrate, precision="fp32")


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="DATALIST", help="pool: training; measured also on: test")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    parser.add_argument(
        "--start-data", type=Path, metavar="DATALIST", help="whose training patients teach the start (default: --data's val)"
    )
    parser.add_argument(
        "--schema", default="tavr11", metavar="NAME|FILE", help="keypoint schema of the labels (default: %(default)s)"
    )
    parser.add_argument("--start-frames", type=int, default=1500, metavar="N", help="at most so many of them (default: 1500)")
    parser.add_argument("--start-iterations", type=int, default=3000, metavar="N", help="batches of 16 (default: 3000)")
    parser.add_argument(
        "--strategies", type=parse_names, default=["random", "hybrid"], metavar="NAMES", help="default: random,hybrid"
    )
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="replays of each strategy (default: 5)")
    numbers = {
        "rounds": (6, "how often labels are asked for"),
        "batch": (16, "labels per round"),
        "iterations": (600, "batches of 16 in each fine-tuning"),
        "image-size": (96, "side of the network's input"),
        "every": (2, "of each cine, every N-th frame is in the pool"),
        "gap": (5, "least distance between labelled frames of a cine"),
        "patient-lead": (4, "labels that a patient may be ahead of the others"),
    }
    for name, (default, words) in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{words} (default: {default})")
    parser.add_argument(
        "--pool-share", type=float, default=0.7, metavar="X", help="share of the patients in each replay (default: 0.7)"
    )


def run(args: argparse.Namespace) -> int:
    """Do what the action says."""
    return _calibrate(args) if args.action == "calibrate" else _simulate(args)


def _simulate(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from monai_tavr.active_learning.simulation import ReplaySettings, run_replays
    from monai_tavr.active_learning.strategies import check_strategies

    if args.seeds < 1:
        raise ValueError(f"--seeds {args.seeds}: give at least 1")
    check_strategies(args.strategies)
    settings = ReplaySettings(
        rounds=args.rounds,
        batch=args.batch,
        iterations=args.iterations,
        pool_share=args.pool_share,
        gap=args.gap,
        patient_lead=args.patient_lead,
        image_size=args.image_size,
        every=args.every,
    )
    args.out.mkdir(parents=True, exist_ok=True)
    replay = _prepare(args, settings)
    total = len(args.strategies) * args.seeds * (args.rounds + 1)
    with tqdm(total=total, desc="replays", unit="round", disable=None) as bar:
        rounds = run_replays(replay, args.out / "rounds.jsonl", strategies=args.strategies, seeds=args.seeds, progress=bar.update)
    _report(args.out, rounds)
    return 0


def _prepare(args: argparse.Namespace, settings: ReplaySettings) -> Replay:
    """Frames in memory and the common start, each computed once per folder."""
    from monai_tavr.active_learning.simulation import Replay
    from monai_tavr.active_learning.student import Student
    from monai_tavr.active_learning.uncertainty import fit_uncertainty
    from monai_tavr.keypoints import load_schema

    schema = load_schema(args.schema)
    first = (args.start_data, "training") if args.start_data else (args.data, "validation")
    start = _frames(args, _cines(*first, schema=schema, most=args.start_frames), "start", 1)
    held_out = start.cine % 8 == 0
    if held_out.all():
        raise ValueError(f"{first[0]}: split {first[1]!r} has a single cine; give at least two, to train and to check")
    student = Student(image_size=settings.image_size, schema=schema)
    memory = student.lessons(start.select(~held_out))
    _learn_start(args, student, memory)
    checked = start.select(held_out)
    uncertainty = fit_uncertainty(student.ask(checked), checked.xy, checked.state, schema=schema)
    print(f"start: uncertainty fitted on {uncertainty.points} points, calibration error {uncertainty.ece:.3f}", flush=True)
    pool = _frames(args, _cines(args.data, "training", schema=schema), "pool", settings.every)
    test = _frames(args, _cines(args.data, "test", schema=schema), "test", settings.every)
    return Replay(student, student.state(), memory, uncertainty, pool, test, settings)


def _cines(data: Path, split: str, *, schema: KeypointSchema, most: int | None = None) -> list[LabelledCine]:
    """Labelled cines of a split, up to a number of frames."""
    from monai_tavr.evaluation.frames import iterate_cines
    from monai_tavr.training.datasets import load_datalist

    found: list[LabelledCine] = []
    frames = 0
    for cine in iterate_cines(load_datalist(data, split), schema=schema):
        found.append(cine)
        frames += len(cine.frames)
        if most is not None and frames >= most:
            break
    if not frames:
        raise ValueError(f"{data}: split {split!r} has no labelled frame")
    return found


def _frames(args: argparse.Namespace, cines: Sequence[LabelledCine], name: str, every: int) -> FrameArrays:
    from tqdm import tqdm

    from monai_tavr.active_learning.student import load_frames

    cache = args.out / f"{name}.npz"
    with tqdm(total=len(cines), desc=f"read {name}", unit="cine", leave=False, disable=None) as bar:
        return load_frames(cines, image_size=args.image_size, every=every, cache=cache, progress=bar.update)


def _learn_start(args: argparse.Namespace, student: Student, memory: Lessons) -> None:
    """Train the common start, or take it from the folder where it was trained on the same frames."""
    import torch
    from tqdm import tqdm

    from monai_tavr import __version__
    from monai_tavr.files import replacing

    file, key = args.out / "start.pt", f"{__version__} {memory.digest} {args.start_iterations}"
    if file.is_file():
        stored = torch.load(file, map_location="cpu", weights_only=True)
        if stored["key"] == key:
            student.restore(stored["network"])
            return
    with tqdm(total=args.start_iterations, desc="start", unit="batch", leave=False, disable=None) as bar:
        student.train([memory], iterations=args.start_iterations, learning_rate=3e-3, progress=bar.update)
    with replacing(file) as stream:
        torch.save({"key": key, "network": student.state()}, stream)


def _report(out: Path, rounds: list[dict[str, object]]) -> None:
    """Table, plot, and what each strategy saves against random."""
    from monai_tavr.active_learning.curves import label_saving, learning_curves, write_curve_plot, write_rounds_csv

    write_rounds_csv(out / "rounds.csv", rounds)
    panels = {"whole pool": learning_curves(rounds), "test patients": learning_curves(rounds, figure="test_error")}
    if not panels["whole pool"]:
        print("no seed has finished with every strategy yet")
        return
    write_curve_plot(out / "curves.png", panels)
    for title, curves in panels.items():
        for name, curve in curves.items():
            line = f"{title}: {name:12s} {curve.mean[0]:.2f} -> {curve.mean[-1]:.2f} px +- {curve.half_interval[-1]:.2f}"
            if name != "random" and "random" in curves:
                s = label_saving(curve, curves["random"])
                interval = f"95 % interval {100 * s.low:.0f} to {100 * s.high:.0f} %"
                line += f"; needs {100 * s.ratio:.0f} % of random's labels ({interval})"
            print(line)


def _calibrate(args: argparse.Namespace) -> int:
    import numpy as np
    from tqdm import tqdm

    from monai_tavr.active_learning.outputs import FrameOutputs, cine_outputs
    from monai_tavr.active_learning.uncertainty import fit_uncertainty
    from monai_tavr.dicom import open_cine

    if args.every < 1:
        raise ValueError(f"--every {args.every}: give at least 1")
    predictor = build_predictor(args)
    outputs, places, states = [], [], []
    for labelled in tqdm(
        _cines(args.data, args.split, schema=predictor.schema), desc="calibrate", unit="cine", leave=False, disable=None
    ):
        frames, truth = labelled.frames[:: args.every], {k.frame: k for k in labelled.label.frames}
        found, fit = cine_outputs(predictor, open_cine(labelled.image), frames)
        outputs.append(found)
        places.append(np.stack([fit.to_network(truth[f].xy) for f in frames]) / np.sqrt(np.prod(predictor.image_size)))
        states.append(np.stack([truth[f].state for f in frames]))
    joined = FrameOutputs.join(outputs)
    fitted = fit_uncertainty(
        joined,
        np.concatenate(places),
        np.concatenate(states),
        schema=predictor.schema,
        weights_sha256=predictor.weights_sha256,
        fitted_on=f"{args.data.name} {args.split}, {len(joined)} frames",
    )
    out = args.out or predictor.weights.with_name("uncertainty.json")
    fitted.write(out)
    print(f"{out}: fitted on {fitted.points} points, expected calibration error {fitted.ece:.3f}")
    return 0
