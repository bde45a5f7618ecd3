"""The shipped weights as they are, and fine-tuned for each fold on the patients that it does not judge.

Everything lies in one folder, and what is finished there is not done again::

    data/            datalist.json of all pictures, fold_1.json..., labels, masks
    shipped/         frames.json: what the weights say of the frames of all folds, as they are
    fold_1/          model.pt, the training's log, frames.json: what the fine-tuned weights say of the fold's frames

BAMNet's epochs were chosen on the frames that are judged. Here a tenth of the training patients chooses, and the fold's frames
are seen once, at the end.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_tavr.evaluation.frames import group_by_cine
from monai_tavr.files import write_json_atomically
from monai_tavr.formats.checks import read_json
from monai_tavr.predictor import KeypointPredictor
from monai_tavr.rival.errors import JudgedFrame, judge, read_judged, write_judged
from monai_tavr.rival.export import Export
from monai_tavr.rival.folds import Folds, hold_out
from monai_tavr.training.datasets import load_datalist
from monai_tavr.training.fine_tuning import FineTuning, fine_tune

__all__ = ["CrossValidation"]

Progress = Callable[[int], Any]


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """The benchmark on some data.

    Attributes:
        out: folder of everything that it makes.
        export: the data.
        folds: patients judged in each.
        predictor: the shipped weights.
        epochs: passes over the training frames of a fold.
        learning_rate: peak, of the fine-tuning.
        root_masks: the fine-tuning learns the root's masks too.
    """

    out: Path
    export: Export
    folds: Folds
    predictor: KeypointPredictor
    epochs: int
    learning_rate: float
    root_masks: bool = False

    def frames_of(self, fold: int) -> int:
        """How many frames a fold judges; folds count from 1."""
        return sum(item["patient"] in self.folds[fold - 1] for item in self.export.items())

    def shipped(self, progress: Progress | None = None) -> list[list[JudgedFrame]]:
        """What the shipped weights say of the frames of each fold; ``progress`` is called with frames done."""
        folder = self.out / "shipped"
        judged = {p for fold in self.folds for p in fold}
        _claim(folder, {"weights": self.predictor.weights_sha256, "patients": sorted(judged, key=int)})
        if not (folder / "frames.json").is_file():
            items = [item for item in self.export.items() if item["patient"] in judged]
            write_judged(folder / "frames.json", self._judge(self._datalist("judged", [], [], items), self.predictor, progress))
        frames = read_judged(folder / "frames.json")
        return [[f for f in frames if f.patient in fold] for fold in self.folds]

    def fine_tuned(
        self, fold: int, report: Callable[[dict[str, Any]], None], progress: Progress | None = None
    ) -> list[JudgedFrame]:
        """What weights say of a fold's frames that were fine-tuned on the other patients; goes on with a stopped training.

        Args:
            fold: from 1.
            report: takes what the training says, see :func:`monai_tavr.training.fine_tuning.fine_tune`.
            progress: called with frames judged.

        Raises:
            ValueError: the folder holds results of other settings, or the training cannot be done.
        """
        folder = self.out / f"fold_{fold}"
        test, chooses = self.folds[fold - 1], self._chooses(fold)
        _claim(
            folder,
            {
                "weights": self.predictor.weights_sha256,
                "patients": list(test),
                "chooses": list(chooses),
                "epochs": self.epochs,
                "learning_rate": self.learning_rate,
                "root_masks": self.root_masks,
            },
        )
        if (folder / "frames.json").is_file():
            return read_judged(folder / "frames.json")
        items = self.export.items()
        training = [item for item in items if item["patient"] not in (*test, *chooses)]
        validation = [item for item in items if item["patient"] in chooses]
        judged = [item for item in items if item["patient"] in test]
        data = self._datalist(f"fold_{fold}", training, validation, judged)
        self._train(folder, data, len(training), report)
        tuned = KeypointPredictor(
            self.predictor.bundle.root,
            weights=folder / "model.pt",
            schema=self.predictor.schema,
            device=self.predictor.device,
            precision=self.predictor.precision,
            batch_size=self.predictor.batch_size,
            postprocess=self.predictor.postprocess,
        )
        frames = self._judge(data, tuned, progress)
        write_judged(folder / "frames.json", frames)
        (folder / "checkpoint.pt").unlink(missing_ok=True)  # the state of a training that is over: three times the weights
        return frames

    def _chooses(self, fold: int) -> tuple[str, ...]:
        everybody = {item["patient"] for item in self.export.items()}
        return hold_out(sorted(everybody - set(self.folds[fold - 1])), seed=fold)

    def _train(self, folder: Path, data: Path, frames: int, report: Callable[[dict[str, Any]], None]) -> None:
        schema = folder / "schema.yaml"
        schema.write_text(self.predictor.schema.to_yaml(), encoding="utf-8")
        task = FineTuning(
            bundle=self.predictor.bundle.root,
            weights=self.predictor.weights.resolve(),
            schema=str(schema),
            data=data,
            frames=frames,
            device=str(self.predictor.device),
            max_epochs=self.epochs,
            learning_rate=self.learning_rate,
            root_masks=self.root_masks,
        )
        fine_tune(folder, task, report)
        gc.collect()  # the trainer's parts know one another, and hold the frames of the fold

    def _datalist(self, name: str, training: Sequence[Any], validation: Sequence[Any], test: Sequence[Any]) -> Path:
        """A datalist beside that of all pictures, whose paths hold there too."""
        content = {"name": name, "schema": self.predictor.schema.name, "modality": {"0": "XA"}}
        path = self.export.datalist.with_name(f"{name}.json")
        write_json_atomically(path, content | {"training": training, "validation": validation, "test": test})
        return path

    def _judge(self, data: Path, predictor: KeypointPredictor, progress: Progress | None) -> list[JudgedFrame]:
        judged = []
        for cine in group_by_cine(load_datalist(data, "test"), schema=predictor.schema):
            judged += [judge(cine, found) for found in predictor.stream(cine.image, frames=cine.frames)]
            if progress is not None:
                progress(len(cine.frames))
        return judged


def _claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Note the settings in a folder, or compare with those noted there."""
    note = folder / "settings.json"
    if not note.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_json_atomically(note, settings)
        return
    found = read_json(note)
    other = [name for name in settings if not isinstance(found, Mapping) or found.get(name) != settings[name]]
    if other:
        raise ValueError(f"{folder} holds results of other {' and '.join(other)}; give another --output, or delete it")
