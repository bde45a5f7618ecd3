"""``monai-tavr benchmark rival``: BAMNet's public patients, its folds and its table, beside this model."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_tavr.commands.options import add_model_arguments, build_predictor, noting_warnings, parse_names, positive_number

if TYPE_CHECKING:
    from monai_tavr.rival.cross_validation import CrossValidation
    from monai_tavr.rival.errors import JudgedFrame
    from monai_tavr.rival.export import Export

__all__ = ["SUMMARY", "add_arguments", "run"]

SUMMARY = "BAMNet's public patients and figures, beside this model"

_DESCRIPTION = """BAMNet (github.com/Nikita75699/BAMNet) finds AA1, AA2, STJ1 and STJ2 on X-ray frames of TAVI patients, and its
data are public. This command reads them, judges the shipped weights as they are, then fine-tunes them once per fold on the
patients that the fold does not judge, and prints BAMNet's table beside ours, in its units: mean and median error in pixels of a
picture of 640 x 640, and in millimetres."""

_EPILOG = """what you need:
  the data       Zenodo, doi.org/10.5281/zenodo.19219901: unpack it, and give the folder segmentation_point (meta.json, 001/ann,
                 001/img, ...). Where there is no img, say by --pictures where the pictures lie.
  the spacing    dataset_metadata/segmentation_point/image_mapping.csv of BAMNet's repository, for errors in millimetres

examples:
  monai-tavr benchmark rival --data segmentation_point --zero-shot-only
  monai-tavr benchmark rival --data segmentation_point --spacing image_mapping.csv --device cuda
  monai-tavr benchmark rival --data segmentation_point --folds folds.txt --epochs 10 --output rival10

Written to --output: rival.md (the table), rival.json, rival.csv (by fold and landmark), landmarks.csv (every error), rival.png,
and the weights of each fold. The same command goes on where it was stopped, in the middle of a fold too. Folds: 'published' are
BAMNet's own, five of 8 to 13 patients; a number deals all patients out; a file has a line of patient numbers for each fold.
Without --folds the published ones are taken if the data hold their patients. docs/benchmarks.md says how errors are measured."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the Supervisely export, or train and val of it")
    parser.add_argument(
        "--output", type=Path, default=Path("rival"), metavar="DIR", help="folder of the results (default: rival)"
    )
    parser.add_argument("--folds", metavar="NAME|N|FILE", help="published, a number, or a file (default: published, else 5)")
    parser.add_argument("--spacing", type=Path, metavar="FILE", help="table with pixel_spacing_row_mm of the pictures")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="where the pictures lie, if the export has none")
    parser.add_argument("--ignore", type=parse_names, default=(), metavar="NAMES", help="classes of the export to pass over")
    parser.add_argument("--zero-shot-only", action="store_true", help="judge the weights as they are; train nothing")
    parser.add_argument("--epochs", type=int, default=20, metavar="N", help="of each fold's fine-tuning (default: 20)")
    parser.add_argument("--learning-rate", type=positive_number, default=2e-4, metavar="X", help="its peak (default: 2e-4)")
    parser.add_argument("--root-masks", action="store_true", help="learn the export's masks of the aortic root beside the points")
    add_model_arguments(parser, precision="fp32")


def run(args: argparse.Namespace) -> int:
    """Judge, fine-tune, print and write; returns 1 where pictures of the data could not be used.

    Raises ValueError for less than one epoch.
    """
    from monai_tavr.rival.cross_validation import CrossValidation
    from monai_tavr.rival.folds import choose_folds

    if args.epochs < 1:
        raise ValueError(f"--epochs must be at least 1, got {args.epochs}")
    predictor = build_predictor(args)
    export = _prepare(args, predictor.schema)
    patients = sorted({item["patient"] for item in export.items()}, key=int)
    name, folds = choose_folds(args.folds, patients)
    words = f"{args.data.name}: {len(export.items())} labelled frames of {len(patients)} patients; {_count(folds)}, {name}"
    print(words, flush=True)
    benchmark = CrossValidation(
        out=args.output,
        export=export,
        folds=folds,
        predictor=predictor,
        epochs=args.epochs,
        learning_rate=args.learning_rate,
        root_masks=args.root_masks,
    )
    results = {"as shipped": _shipped(benchmark)}
    _note_sides(results["as shipped"])
    report = _Report(args.output, {"data": words, "folds": [list(f) for f in folds], "model": predictor.author})
    report.write(results, of=len(folds))
    for fold in () if args.zero_shot_only else range(1, len(folds) + 1):
        results.setdefault("fine-tuned", []).append(_fine_tuned(benchmark, fold))
        report.write(results, of=len(folds))
    print(f"\n{report.table}\n{args.output / 'rival.md'}: the table; beside it JSON, CSV and a plot")
    return 1 if export.failed else 0


def _count(folds: Sequence[object]) -> str:
    return f"{len(folds)} fold{'s' * (len(folds) != 1)}"


def _prepare(args: argparse.Namespace, schema: Any) -> Export:
    from tqdm import tqdm

    from monai_tavr.formats.spacings import read_spacings
    from monai_tavr.rival.export import prepare_export

    with noting_warnings(), tqdm(desc="pictures", unit="picture", leave=False, disable=None) as bar:
        export = prepare_export(
            args.output / "data",
            args.data,
            schema=schema,
            spacings=read_spacings(args.spacing) if args.spacing else None,
            pictures=args.pictures,
            ignore=args.ignore,
            progress=bar.update,
        )
    if export.unlabelled:
        print(f"left out: {export.unlabelled} pictures without a labelled landmark")
    for picture, reason in export.failed[:10]:
        print(f"not used: {picture}: {reason}")
    if len(export.failed) > 10:
        print(f"not used: {len(export.failed) - 10} more pictures")
    return export


def _shipped(benchmark: CrossValidation) -> list[list[JudgedFrame]]:
    from tqdm import tqdm

    total = sum(benchmark.frames_of(fold) for fold in range(1, len(benchmark.folds) + 1))
    with tqdm(total=total, desc="as shipped", unit="frame", leave=False, disable=None) as bar:
        return benchmark.shipped(bar.update)


def _note_sides(folds: Sequence[Sequence[JudgedFrame]]) -> None:
    """Labels that call the other end AA1 would make every error as long as the annulus: say so."""
    sides = [bool(f.truth.xy[0, 0] < f.truth.xy[1, 0]) for frames in folds for f in frames if f.truth.visible[:2].all()]
    if sides and sum(sides) < 0.9 * len(sides):
        print(
            f"note: AA1 lies left of AA2 on {100 * sum(sides) / len(sides):.0f} % of the frames; this model's AA1 is the left end"
        )


def _fine_tuned(benchmark: CrossValidation, fold: int) -> list[JudgedFrame]:
    from tqdm import tqdm

    title = f"fold {fold} of {len(benchmark.folds)}"
    print(f"{title}: patients {', '.join(benchmark.folds[fold - 1])} are judged", flush=True)
    with warnings.catch_warnings(), tqdm(desc=title, unit="batch", leave=False, disable=None) as training:
        for kind in (FutureWarning, DeprecationWarning):  # MONAI's engines use what torch calls deprecated
            warnings.simplefilter("ignore", kind)
        judging: tqdm[Any] | None = None

        def judged(frames: int) -> None:
            nonlocal judging
            if judging is None:
                judging = tqdm(total=benchmark.frames_of(fold), desc=title, unit="frame", leave=False, disable=None)
            judging.update(frames)

        frames = benchmark.fine_tuned(fold, _training_progress(training), judged)
        if judging is not None:
            judging.close()
    return frames


def _training_progress(bar: Any) -> Callable[[Mapping[str, Any]], None]:
    """What a training says, on a bar, and line by line above it."""

    def show(said: Mapping[str, Any]) -> None:
        if (where := said.get("progress")) is not None:
            bar.total = where["max_epochs"] * where["iterations"]
            bar.n = (where["epoch"] - 1) * where["iterations"] + where["iteration"]
            bar.set_postfix(loss=where["loss"])
        if "line" in said:
            bar.write(f"  {said['line']}")
            sys.stdout.flush()

    return show


class _Report:
    """The files of the results, written anew after every fold."""

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.folder, self.about, self.table = folder, about, ""

    def write(self, results: Mapping[str, Sequence[Sequence[JudgedFrame]]], *, of: int) -> None:
        """Write all files of what is finished; ``of`` folds in all."""
        from dataclasses import asdict

        from monai_tavr.files import replacing, write_json_atomically
        from monai_tavr.rival.errors import spread_over_folds, summarise
        from monai_tavr.rival.plot import write_comparison_plot
        from monai_tavr.rival.published import BAMNET
        from monai_tavr.rival.report import comparison_table, write_fold_csv, write_landmark_csv

        folds = {name: [summarise(frames) for frames in parts] for name, parts in results.items()}
        models: dict[str, dict[str, Any]] = {
            name: {
                "over_folds": spread_over_folds(folds[name]),
                "pooled": summarise([f for part in parts for f in part], bootstrap=1000),
                "folds": folds[name],
            }
            for name, parts in results.items()
        }
        titles = {name: name if len(parts) == of else f"{name}, {len(parts)} of {of} folds" for name, parts in results.items()}
        self.table = comparison_table({f"ours, {titles[name]}": model for name, model in models.items()})
        with replacing(self.folder / "rival.md") as stream:
            stream.write(f"{self.about['data']}\n\n{self.table}".encode())
        plain = {
            name: model | {"over_folds": {figure: asdict(s) for figure, s in model["over_folds"].items()}}
            for name, model in models.items()
        }
        published = {figure: asdict(spread) for figure, spread in BAMNET.items()}
        write_json_atomically(self.folder / "rival.json", {**self.about, "published": published, "models": plain})
        write_fold_csv(self.folder / "rival.csv", folds)
        write_landmark_csv(self.folder / "landmarks.csv", results)
        write_comparison_plot(
            self.folder / "rival.png",
            {titles[name]: parts for name, parts in folds.items()},
            {titles[name]: parts for name, parts in results.items()},
        )
