"""What typical frames look like to a model, fitted on frames of three kinds; see :mod:`monai_tavr.typicality`.

*Typical* are labelled frames: phantoms, and phantom devices on real frames. Beside phantoms alone every real frame is a stranger.
*Near* are real angiograms without the devices; *foreign* is what is no angiogram at all (:mod:`.foreign_frames`). The distance is
from typical and near frames together, for both are angiograms; one probe tells foreign frames from these, one near from typical.
The limits are drawn on typical frames that the rest was not fitted on: few of them may be flagged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from monai_tavr.evaluation.calibration import fit_logistic
from monai_tavr.typicality import Typicality

__all__ = ["every_third", "fit_typicality"]

_AXES = 64
_RIDGE = 30.0  # of standardised figures: with some thousand frames the probes are held back, not blinded
_FAR = 0.1  # the tenth of the others that is nearest may overlap


def every_third(clusters: Sequence[str]) -> np.ndarray:
    """Which frames are held out, by what they belong to: a cine, a patient, a block of files.

    Args:
        clusters: (N,) names; frames of one name stay together.

    Returns:
        (N,) bool, true for a third of the names.
    """
    order = {name: i for i, name in enumerate(sorted(set(clusters)))}
    return np.array([order[name] % 3 == 2 for name in clusters], bool)


def fit_typicality(
    typical: np.ndarray,
    near: np.ndarray,
    foreign: np.ndarray,
    *,
    held_out: np.ndarray,
    max_flagged: float = 0.01,
    weights_sha256: str = "",
    fitted_on: str = "",
) -> Typicality:
    """Fit distance, probes and their limits.

    Args:
        typical: (N, D) features of frames, of :func:`monai_tavr.typicality.describe_frames`.
        near: (M, D) features of angiograms without devices.
        foreign: (L, D) features of frames that are no angiograms.
        held_out: (N,) bool, typical frames for the limits only.
        max_flagged: largest share of ``typical[held_out]`` that is flagged.
        weights_sha256: of the network's weights, to know whom the result belongs to.
        fitted_on: which data, in words.

    Raises:
        ValueError: a kind has no frames, or a number is out of its range.
    """
    fitted, judged = np.asarray(typical, float)[~held_out], np.asarray(typical, float)[held_out]
    if not 0 <= max_flagged < 1:
        raise ValueError(f"max_flagged must lie in [0, 1), got {max_flagged}")
    for name, frames in {"typical": fitted, "held-out typical": judged, "near": near, "foreign": foreign}.items():
        if len(frames) < 2:
            raise ValueError(f"{len(frames)} {name} frames are too few to fit on")
    angiograms = np.concatenate([fitted, near])
    weight = _balanced(len(fitted), len(near))
    centre = weight @ angiograms
    scale = np.sqrt(weight @ (angiograms - centre) ** 2)
    scale = np.maximum(scale, 1e-3 * max(float(scale.max()), 1e-6))  # a figure that never changes there may change elsewhere
    z = {
        n: (f - centre) / scale
        for n, f in {"fitted": fitted, "near": np.asarray(near, float), "foreign": np.asarray(foreign, float)}.items()
    }
    axes, variances, rest = _principal(np.concatenate([z["fitted"], z["near"]]), weight)
    probes = np.stack([_probe(np.concatenate([z["fitted"], z["near"]]), z["foreign"]), _probe(z["fitted"], z["near"])]).astype(
        np.float32
    )
    found = Typicality(
        centre=centre.astype(np.float32),
        scale=scale.astype(np.float32),
        axes=axes.astype(np.float32),
        variances=variances.astype(np.float32),
        rest=rest,
        furthest=1.0,
        probes=probes,
        limits=np.zeros(2),
        weights_sha256=weights_sha256,
        fitted_on=fitted_on,
    )
    own = [found.distance(judged), *found.logits(judged).T]
    others = [found.distance(foreign), found.logits(foreign)[:, 0], found.logits(near)[:, 1]]
    furthest, *limits = _limits(own, others, max_flagged)
    return replace(found, furthest=furthest, limits=np.array(limits))


def _limits(own: Sequence[np.ndarray], others: Sequence[np.ndarray], max_flagged: float) -> list[float]:
    """Where doubt begins, test by test: what one test does not need of the allowance goes to the next.

    As few of the own frames as allowed lie beyond; where there is room before the others, the limit is half way to them.
    """
    flagged, limits = np.zeros(len(own[0]), bool), []
    for left, (values, strange) in enumerate(zip(own, others, strict=True), start=-len(own)):
        allowed = max(max_flagged - flagged.mean(), 0) / -left
        edge, beginning = float(np.quantile(values, 1 - allowed, method="higher")), float(np.quantile(strange, _FAR))
        limits.append(max(edge, (edge + beginning) / 2))
        flagged |= values > limits[-1]
    return limits


def _balanced(*sizes: int) -> np.ndarray:
    """Weights that add up to 1, every kind's to the same."""
    return np.concatenate([np.full(n, 1 / (n * len(sizes))) for n in sizes])


def _principal(z: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Axes of largest variance, the variances along them, and the mean variance along all others."""
    values, vectors = np.linalg.eigh((z * weight[:, None]).T @ z)
    count = min(_AXES, len(z) - 1, z.shape[1] - 1)
    values = np.maximum(values[::-1], 1e-6)
    return vectors.T[::-1][:count], values[:count], float(values[count:].mean())


def _probe(usual: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(D + 1,) coefficients that tell the second from the first, both kinds counting the same."""
    x = np.concatenate([usual, other])
    design = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    outcome = np.arange(len(x)) >= len(usual)
    pull = np.append(np.full(x.shape[1], _RIDGE), 1e-6)
    weight = _balanced(len(usual), len(other)) * len(x)
    return fit_logistic(design, outcome, prior=np.zeros(len(pull)), ridge=pull, weight=weight)
