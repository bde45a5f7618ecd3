"""What decides over a network that has learnt: its figures beside those of the one it started from, on the same frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from monai_tavr.codec import VISIBILITY, X, Y
from monai_tavr.dicom import open_cine
from monai_tavr.evaluation.frames import EvaluatedFrame, evaluate_cines, group_by_cine, model_predictions
from monai_tavr.predictor import KeypointPredictor
from monai_tavr.training.handlers import ValidationScore
from monai_tavr.training.teacher import Teacher

__all__ = ["Guard", "Judgement", "agreement", "validation_figures"]

_SHOWN = ("f1", "f1_within_20px", "mean_error_px", "median_error_px", "group_accuracy", "n_frames")


def validation_figures(
    predictor: KeypointPredictor, items: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], list[EvaluatedFrame]]:
    """The score by which trainings choose, with what people read, and the frames behind it.

    Args:
        predictor: whose rules and thresholds count.
        items: labelled, of a datalist.

    Returns:
        ``score``, ``f1``, ``f1_within_20px``, ``mean_error_px``, ``median_error_px``, ``group_accuracy``, ``n_frames``; and the
        frames.
    """
    cines = group_by_cine(items, schema=predictor.schema)
    frames = evaluate_cines(cines, model_predictions(predictor))
    score = ValidationScore(predictor.schema)
    score([f.prediction for f in frames], [f.truth for f in frames])
    report = score.report()
    return {"score": round(score.aggregate(), 5)} | {name: report.get(name) for name in _SHOWN}, frames


def agreement(predictor: KeypointPredictor, items: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """How far a network agrees with itself on frames that nobody has labelled: in the mirror, and with the neighbours in time.

    Args:
        predictor: of the network.
        items: of :func:`monai_tavr.training.unlabelled_items`.

    Returns:
        ``decisions``: share of the points of which all looks say the same, there or not (at 0.5); ``mirror_px`` and ``time_px``:
        mean distance, in pixels of the network's input, from the mirror's answer, and from the middle between the neighbours',
        over the points that all looks see; None where there is no such point.
    """
    teacher = Teacher(predictor.network, schema=predictor.schema, image_size=predictor.image_size)
    k = predictor.schema.num_keypoints
    same, mirror_px, time_px = [], [], []
    size = torch.tensor([predictor.image_size[1], predictor.image_size[0]])
    for item in items:
        cine, frame = open_cine(item["image"]), int(item["frame"])
        around = [frame, frame - 1, frame + 1] if 0 < frame < len(cine) - 1 else [frame] * 3
        inputs, _ = predictor.prepare(cine.frames(around))
        looks = teacher.look(inputs.transpose(0, 1))[0, :, :k].cpu()
        there = looks[..., VISIBILITY] > 0
        same.append((there == there[:1]).all(dim=0))
        here, before, after, mirror = (looks[i, there.all(dim=0), X : Y + 1] * size for i in range(4))
        mirror_px.append((here - mirror).norm(dim=-1))
        time_px.append((here - (before + after) / 2).norm(dim=-1))
    distances = {"mirror_px": torch.cat(mirror_px), "time_px": torch.cat(time_px)}
    figures: dict[str, float | None] = {"decisions": float(torch.cat(same).float().mean())}
    return figures | {name: float(d.mean()) if len(d) else None for name, d in distances.items()}


@dataclass(frozen=True)
class Judgement:
    """What is known of one network.

    Attributes:
        validation: of :func:`validation_figures`.
        invented: share of frames on which a group is reported that is absent in truth.
        agreement: of :func:`agreement` on unlabelled frames that are held out.
    """

    validation: Mapping[str, Any]
    invented: float
    agreement: Mapping[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Guard:
    """What a network may lose by learning from frames without labels.

    Attributes:
        score: of the validation score; one pixel of the mean error is 0.02.
        invented: of the share of frames on which a group is invented.
    """

    score: float = 0.005
    invented: float = 0.005

    def objections(self, start: Judgement, result: Judgement) -> list[str]:
        """Why the result must not take the place of the start, in words; empty where it may."""
        found = []
        before, after = start.validation["score"], result.validation["score"]
        if not after >= before - self.score:
            found.append(f"the validation score fell from {before:.4f} to {after:.4f}, and may fall by {self.score:g}")
        if not result.invented <= start.invented + self.invented:
            found.append(
                f"a group is invented on {result.invented:.1%} of the frames without it, {start.invented:.1%} before, and "
                f"{self.invented:.1%} more are allowed"
            )
        return found
