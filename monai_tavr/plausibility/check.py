"""All checks of one label."""

from __future__ import annotations

from dataclasses import replace

from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema
from monai_tavr.label import CineLabel
from monai_tavr.plausibility.finding import Finding
from monai_tavr.plausibility.guide import guide_findings
from monai_tavr.plausibility.poses import chain_findings, model_findings, pose_findings
from monai_tavr.plausibility.statistics import PoseStatistics
from monai_tavr.plausibility.statistics_file import shipped_statistics
from monai_tavr.plausibility.steps import step_findings

__all__ = ["check_label"]


def check_label(
    label: CineLabel,
    *,
    schema: KeypointSchema = TAVR11,
    predictions: CineLabel | None = None,
    statistics: PoseStatistics | None = None,
) -> list[Finding]:
    """What is probably wrong with a label, the worst first.

    Args:
        label: labelled frames of a cine; frames without a labelled point are passed over.
        schema: whose groups, pairs and chains are held against it.
        predictions: what a model says of the same image, with scores and spreads.
        statistics: of poses and steps; None = those of the package, :data:`monai_tavr.plausibility.NO_STATISTICS` = none. Points
            that they do not know are judged by the rules of the guide alone.

    Raises:
        ValueError: the predictions are of an image of another size.
    """
    if predictions is not None and (predictions.image.rows, predictions.image.columns) != (label.image.rows, label.image.columns):
        raise ValueError(
            f"predictions of an image of {predictions.image.columns} x {predictions.image.rows} pixels, "
            f"but the label is of one of {label.image.columns} x {label.image.rows}"
        )
    usual = shipped_statistics() if statistics is None else statistics
    frames = [k if k.schema == schema else k.under(schema) for k in label.frames if k.labelled is not None and k.labelled.any()]
    upright = [_ends_in_place(k) for k in frames]
    found = list(step_findings(upright, label.image, statistics=usual))
    for k, put_right in zip(frames, upright, strict=True):
        found += guide_findings(k, label.image, statistics=usual)
        found += pose_findings(put_right, label.image, statistics=usual)
        found += chain_findings(k, statistics=usual)
        if predictions is not None:
            found += model_findings(put_right, predictions, statistics=usual)
    return sorted(found, key=lambda f: (-f.score, f.frame, f.points))


def _ends_in_place(keypoints: Keypoints) -> Keypoints:
    """The frame with the ends of lines the right way round: an exchange is said once, and not again as two jumps."""
    xy = keypoints.xy.copy()
    for left, right in keypoints.schema.flip_pairs:
        i, j = keypoints.schema.index(left), keypoints.schema.index(right)
        if xy[j, 0] < xy[i, 0]:
            xy[[i, j]] = xy[[j, i]]
    return replace(keypoints, xy=xy)
