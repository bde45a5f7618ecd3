"""Fit a network to a hospital's machines by frames that nobody has labelled, and keep it only where it lost nothing.

Layout of the folder::

    model.pt         the adapted weights; there only if the guard has no objection
    thresholds.json  those of the weights that it started from, by which both were judged
    adaptation.json  the figures of both, and the guard's objections
    phantom/         the labelled frames that keep the network from forgetting, where no others were given
    run/             the training: datalists, log, checkpoint, TensorBoard; the same call goes on where it was stopped
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from monai_tavr.bundle import sha256_of
from monai_tavr.evaluation.false_alarms import alarm_report
from monai_tavr.evaluation.frames import EvaluatedFrame, LabelledCine, evaluate_cines, model_predictions
from monai_tavr.files import replacing_path, write_json_atomically
from monai_tavr.formats.checks import read_json
from monai_tavr.keypoints import KeypointSchema
from monai_tavr.phantom.generate import generate_dataset
from monai_tavr.predictor import KeypointPredictor
from monai_tavr.training.datasets import load_datalist, split_by_patient
from monai_tavr.training.fine_tuning import load_configs, short_run, training_configs, training_workflow
from monai_tavr.training.judging import Guard, Judgement, agreement, validation_figures
from monai_tavr.training.negatives import negative_cines, negative_items
from monai_tavr.training.unlabelled import hold_out, unlabelled_items
from monai_tavr.weights import read_weights

__all__ = ["Adaptation", "adapt", "make_anchor"]

_LOGGER = logging.getLogger(__name__)

_ANCHOR_PRESET, _ANCHOR_PATIENTS, _ANCHOR_SEED = "variety", 80, 9000  # far from the seeds of the shipped weights' phantoms
_HELD_OUT = 0.25  # of negatives and of unlabelled studies: for the figures only
_FRAMES_TO_AGREE_ON = 200  # held out; their figure needs no more


@dataclass(frozen=True)
class Adaptation:
    """What came of it.

    Attributes:
        weights: the new file; None where the guard objected.
        objections: of the guard, in words.
        start, result: the figures of both networks, on the same frames.
    """

    weights: Path | None
    objections: tuple[str, ...]
    start: Judgement
    result: Judgement


def adapt(
    out: str | os.PathLike[str],
    *,
    frames: str | os.PathLike[str],
    bundle: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    schema: str | os.PathLike[str] | KeypointSchema | None = None,
    phantom: str | os.PathLike[str] | None = None,
    negatives: str | os.PathLike[str] | None = None,
    epochs: int = 5,
    seed: int = 0,
    device: str | torch.device = "auto",
    guard: Guard | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Adaptation:
    """Train a network further on frames without labels, judge it, and publish it if the guard has no objection.

    Args:
        out: folder of the result; a stopped adaptation of the same call goes on there.
        frames: folder of cines and pictures (DICOM, PNG, JPEG).
        bundle: whose ``configs/train.yaml`` and ``configs/adapt.yaml`` train; None = see :func:`monai_tavr.bundle.bundle_root`.
        weights: to start from; None = the bundle's.
        schema: of the weights, if not the bundle's.
        phantom: labelled data with a training and a validation split; None = phantoms are made, in ``out``.
        negatives: folder of real frames without catheter and valve; a quarter of the files is for the guard.
        epochs: how often all unlabelled frames are seen.
        seed: of the training, and of the phantoms.
        device: see :func:`monai_tavr.devices.select_device`.
        guard: what may be lost; None = the default.
        settings: id of the configurations -> another value.

    Raises:
        FileNotFoundError: there is no bundle, or there are no weights.
        ValueError: an argument cannot be used, or ``out`` holds something else; says what to do.
    """
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}")
    out = Path(out)
    start = KeypointPredictor(bundle, weights=weights, schema=schema, device=device)
    configs = training_configs(start.bundle.root, teacher=True)
    asked = {"frames": frames, "phantom": phantom, "negatives": negatives}
    named = {name: None if path is None else str(path) for name, path in asked.items()}
    _claim(out, {"weights_sha256": start.weights_sha256, "seed": seed, **named, **(settings or {})})
    work = _Work.prepare(out, start, frames=frames, phantom=phantom, negatives=negatives, seed=seed)
    before = work.judge(start)
    _train(out / "run", start, configs, work, epochs=epochs, seed=seed, settings=settings or {})
    learnt = KeypointPredictor(
        start.bundle.root,
        weights=out / "run" / "checkpoint.pt",  # of which the running mean counts
        schema=start.schema,
        device=start.device,
        postprocess=start.postprocess,
    )
    after = work.judge(learnt)
    objections = tuple((guard or Guard()).objections(before, after))
    return _publish(out, start, Adaptation(None if objections else out / "model.pt", objections, before, after))


def make_anchor(
    folder: Path,
    *,
    schema: KeypointSchema,
    seed: int = 0,
    preset: str = _ANCHOR_PRESET,
    patients: int = _ANCHOR_PATIENTS,
    size: int | None = None,
) -> Path:
    """Phantoms to learn from beside frames without labels, and to be judged by; a quarter of the patients validates.

    Args:
        folder: of the data set; one that was begun is finished.
        schema: of the labels.
        seed: other patients for another seed.
        preset, patients, size: of :func:`monai_tavr.phantom.generate.generate_dataset`.

    Returns:
        The datalist.
    """
    generate_dataset(folder, preset=preset, patients=patients, seed=_ANCHOR_SEED + seed, size=size, schema=schema)
    items = load_datalist(folder, "all")
    return _write_list(
        folder / "anchor.json", split_by_patient(items, fractions={"training": 0.75, "validation": 0.25}, seed=seed)
    )


@dataclass(frozen=True)
class _Work:
    """What a network is taught and judged by.

    Attributes:
        anchor: datalist of labelled frames.
        unlabelled: datalist of the frames to learn from.
        negatives: datalist of the frames without devices to learn from, or None.
        held_out: unlabelled items to look at only.
        denied: cines without devices to look at only; none = the anchor's validation frames.
    """

    anchor: Path
    unlabelled: Path
    negatives: Path | None
    held_out: tuple[Mapping[str, Any], ...]
    denied: tuple[LabelledCine, ...]

    @classmethod
    def prepare(
        cls,
        out: Path,
        start: KeypointPredictor,
        *,
        frames: str | os.PathLike[str],
        phantom: str | os.PathLike[str] | None,
        negatives: str | os.PathLike[str] | None,
        seed: int,
    ) -> _Work:
        """Find the frames, hold some out, and make phantoms where none were given."""
        run = out / "run"
        items = unlabelled_items(frames)
        learnt, apart = hold_out(items, share=_HELD_OUT)
        if not apart:
            _LOGGER.warning("all frames are of one study: how far looks agree is measured on the frames that are learnt from")
        _LOGGER.info("%d unlabelled frames to learn from, %d held out", len(learnt), len(apart))
        anchor = Path(phantom) if phantom is not None else make_anchor(out / "phantom", schema=start.schema, seed=seed)
        for split in ("training", "validation"):
            if not load_datalist(anchor, split):
                raise ValueError(f"{anchor}: no {split} frames; give a data set with patients to train on and to validate on")
        kept: list[dict[str, Any]] = []
        denied: list[LabelledCine] = []
        if negatives is not None:
            files = [item | {"unit": item["image"]} for item in negative_items(negatives, schema=start.schema)]
            kept, others = hold_out(files, share=_HELD_OUT)
            names = {item["image"] for item in others or kept}
            denied = [cine for cine in negative_cines(negatives, schema=start.schema) if str(cine.image) in names]
        step = max(1, len(apart or learnt) // _FRAMES_TO_AGREE_ON)
        return cls(
            anchor=anchor,
            unlabelled=_write_list(run / "unlabelled.json", {"training": learnt}),
            negatives=_write_list(run / "negatives.json", {"training": kept}) if kept else None,
            held_out=tuple((apart or learnt)[::step]),
            denied=tuple(denied),
        )

    def judge(self, predictor: KeypointPredictor) -> Judgement:
        """The figures of a network; the anchor's own frames say what is invented where no others do."""
        validation, frames = validation_figures(predictor, load_datalist(self.anchor, "validation"))
        denied: list[EvaluatedFrame] = evaluate_cines(self.denied, model_predictions(predictor)) if self.denied else frames
        return Judgement(validation, alarm_report(denied)["any_group"]["share"], agreement(predictor, self.held_out))


def _train(
    run: Path,
    start: KeypointPredictor,
    configs: Sequence[Path],
    work: _Work,
    *,
    epochs: int,
    seed: int,
    settings: Mapping[str, Any],
) -> None:
    """Leaves ``checkpoint.pt`` in ``run``, whose running mean is the result."""
    defaults = {**load_configs(configs), **settings}
    labelled, unlabelled = (len(load_datalist(path)) for path in (work.anchor, work.unlabelled))
    (run / "schema.yaml").write_text(start.schema.to_yaml(), encoding="utf-8")
    iterations = epochs * max(1, unlabelled // int(defaults["unlabelled_batch_size"]))
    given: dict[str, Any] = {
        "bundle_root": str(start.bundle.root),
        "schema": str(run / "schema.yaml"),
        "dataset_dir": str(work.anchor),
        "unlabelled_items": f"$load_datalist({str(work.unlabelled)!r})",
        "output_dir": str(run),
        "device": f"$torch.device({str(start.device)!r})",
        "initial_weights": str(start.weights),
        "max_epochs": epochs,
        "seed": seed,
        "batch_size": min(int(defaults["batch_size"]), labelled),
        **short_run(defaults, iterations),
    }
    if work.negatives is not None:
        given["train::negatives"] = f"$load_datalist({str(work.negatives)!r})"
    training_workflow(configs, given | dict(settings)).run()


def _publish(out: Path, start: KeypointPredictor, done: Adaptation) -> Adaptation:
    """Write the report, and the weights with the thresholds they were judged by."""
    if done.weights is not None:
        beside = start.weights.with_name("thresholds.json")
        if beside.is_file():
            with replacing_path(out / "thresholds.json") as temporary:
                shutil.copyfile(beside, temporary)
        with replacing_path(done.weights) as temporary:
            torch.save(read_weights(out / "run" / "checkpoint.pt"), temporary)
    report = {
        "published": done.weights is not None,
        "objections": list(done.objections),
        "from_weights_sha256": start.weights_sha256,
        "weights_sha256": None if done.weights is None else sha256_of(done.weights),
        "start": done.start.to_dict(),
        "result": done.result.to_dict(),
    }
    write_json_atomically(out / "adaptation.json", report)
    return done


def _claim(out: Path, settings: Mapping[str, Any]) -> None:
    """Note in the folder what is done there, or compare with what is noted."""
    if (out / "model.pt").exists():
        raise ValueError(f"{out} holds an adapted model already; give another folder")
    note = out / "run" / "settings.json"
    if note.exists():
        found = read_json(note)
        if found != settings:
            raise ValueError(f"{out} holds an adaptation that was begun with {found}, not {dict(settings)}; give another folder")
    else:
        write_json_atomically(note, dict(settings))


def _write_list(path: Path, splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> Path:
    """A datalist with absolute paths; studies are named no more than needed."""
    content = {
        split: [
            {k: str(Path(v).absolute()) if k in ("image", "label", "root_mask") else v for k, v in item.items() if k != "unit"}
            for item in items
        ]
        for split, items in splits.items()
    }
    write_json_atomically(path, content)
    return path
