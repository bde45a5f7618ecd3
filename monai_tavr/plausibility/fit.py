"""What is usual, worked out from labels that are taken to be right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from monai_tavr.keypoints import KeypointSchema
from monai_tavr.label import CineLabel
from monai_tavr.plausibility.poses import sure_distances
from monai_tavr.plausibility.statistics import GAPS, ChainStatistics, PoseStatistics, SetStatistics, Spread, image_size
from monai_tavr.plausibility.steps import Step, steps_of

__all__ = ["fit_model_limit", "fit_statistics"]

_FOLDS = 5
_LEAST = 4.3  # standard deviations that a click goes beyond once in 10 000 times
_FEWEST = 40  # frames or steps from which on a covariance says something
_DIRECTION_MARGIN = 30.0  # degrees beyond all that was seen
Places = tuple[np.ndarray, np.ndarray]  # frames (F,), points (F, N, 2) in shares of the image's size


def fit_statistics(
    labels: Mapping[str, Sequence[CineLabel]],
    *,
    schema: KeypointSchema,
    flagged: float = 0.002,
    noise: float = 0.004,
    fitted_on: str = "",
) -> PoseStatistics:
    """Fit poses and steps of every group of two points or more.

    Limits are chosen on patients that the covariances were not fitted on, in turn, so that each of them lets all but a share of
    the frames pass.

    Args:
        labels: patient -> labels of that patient.
        schema: whose groups and chains they are.
        flagged: largest share of frames beyond each limit.
        noise: standard deviation of a person's click as a share of the image's size.
        fitted_on: which labels these are, in words.

    Raises:
        ValueError: there are fewer than five patients, or too few frames of every group.
    """
    if len(labels) < _FOLDS:
        raise ValueError(f"labels of {len(labels)} patients are too few to fit on; give those of at least {_FOLDS}")
    sets = []
    for members in schema.groups.values():
        cines = [(n % _FOLDS, places) for n, patient in enumerate(sorted(labels)) for places in _places(labels[patient], members)]
        whole = [(fold, p) for fold, (_, xy) in cines for p in xy if not np.isnan(p).any()]
        if len(members) > 1 and _are_enough(whole):
            sets.append(_fit_set(members, cines, whole, flagged, noise))
    if not sets:
        raise ValueError(f"no group of {schema.name} has {_FEWEST} labelled frames with all of its points")
    frames = [k.under(schema) for found in labels.values() for label in found for k in label.frames]
    chains = [_fit_chain(chain, np.array([k.xy[[schema.index(n) for n in chain]] for k in frames])) for chain in schema.chains]
    return PoseStatistics(tuple(sets), tuple(c for c in chains if c is not None), noise=noise, fitted_on=fitted_on)


def _are_enough(chosen: Sequence[tuple[int, np.ndarray]]) -> bool:
    """Whether a covariance can be fitted, and limits on patients apart."""
    return len(chosen) >= _FEWEST and len({fold for fold, _ in chosen}) > 1


def _places(labels: Iterable[CineLabel], members: Sequence[str]) -> list[Places]:
    found = []
    for label in labels:
        rows = [[k.xy[k.schema.index(n)] if n in k.schema.names else (np.nan, np.nan) for n in members] for k in label.frames]
        if rows:
            found.append((np.array([k.frame for k in label.frames]), np.array(rows, float) / image_size(label.image)))
    return found


def _fit_set(
    members: Sequence[str],
    cines: Sequence[tuple[int, Places]],
    whole: Sequence[tuple[int, np.ndarray]],
    flagged: float,
    noise: float,
) -> SetStatistics:
    centred = [(fold, p - p.mean(axis=0)) for fold, p in whole]
    mean = np.mean([p for _, p in centred], axis=0)
    pose = _fit_spread([(fold, p - mean) for fold, p in centred], flagged, noise, free=True)
    kinds: dict[bool, list[Spread | None]] = {True: [], False: []}
    steps = _steps(cines)
    for both in kinds:
        for low, high in zip((0.0, *GAPS), GAPS, strict=False):
            chosen = [(fold, s.residual) for fold, s in steps if s.both is both and low < s.gap <= high]
            clicks = 1.5**0.5 if both else 2.0**0.5
            kinds[both].append(_fit_spread(chosen, flagged, noise * clicks) if _are_enough(chosen) else None)
    return SetStatistics(tuple(members), mean, pose, tuple(kinds[True]), tuple(kinds[False]))


def _steps(cines: Sequence[tuple[int, Places]]) -> list[tuple[int, Step]]:
    """Steps between frames of a cine at all distances, of groups that are there as a whole."""
    found = []
    for fold, (frames, xy) in cines:
        whole = ~np.isnan(xy).any(axis=(1, 2))
        frames, xy = frames[whole], xy[whole]
        for apart in range(1, int(GAPS[-1]) + 1):
            for t in range(len(xy)):
                near = [s for s in (t - apart, t, t + apart) if 0 <= s < len(xy)]
                if len(near) > 1:
                    found += [(fold, step) for step in steps_of(frames[near], xy[near], near.index(t))]
                for s in (t - apart, t + apart):
                    if len(near) == 3:
                        pair = sorted((s, t))
                        found += [(fold, step) for step in steps_of(frames[pair], xy[pair], pair.index(t))]
    return found


def _fit_spread(chosen: Sequence[tuple[int, np.ndarray]], flagged: float, noise: float, *, free: bool = False) -> Spread:
    """Covariance of residuals of several folds, and limits by distances from what the other folds say."""
    folds, residuals = np.array([fold for fold, _ in chosen]), np.array([r for _, r in chosen])
    flat = residuals.reshape(len(residuals), -1)
    far = []
    for fold in range(_FOLDS):
        own = folds == fold
        if own.any():
            spread = Spread(_covariance(flat[~own]), 1.0)
            far += [[d.max() for d in spread.distances(r, noise=noise, free=free)] for r in residuals[own]]
    together, alone = (max(float(q), _LEAST) for q in np.quantile(far, 1 - flagged, axis=0, method="higher"))
    return Spread(_covariance(flat), together, None if free else alone)


def _covariance(flat: np.ndarray) -> np.ndarray:
    """(D, D) about zero, of ``flat`` (N, D): steps have no mean of their own, and poses have lost theirs."""
    return np.asarray(flat.T @ flat / len(flat))


def _fit_chain(points: tuple[str, ...], places: np.ndarray) -> ChainStatistics | None:
    """Of ``places`` (F, N, 2) in pixels: what was seen of parts and direction, and a margin for what was not."""
    whole = places[~np.isnan(places).any(axis=(1, 2))]
    if len(whole) < _FEWEST:
        return None
    lengths = np.linalg.norm(np.diff(whole, axis=1), axis=2)
    shares = lengths / lengths.sum(axis=1, keepdims=True)
    parts = tuple((float(low / 1.2), float(1 - (1 - high) / 1.2)) for low, high in zip(shares.min(0), shares.max(0), strict=True))
    across = whole[:, -1] - whole[:, 0]
    angles = np.arctan2(across[:, 1], across[:, 0])
    direction = np.arctan2(np.sin(angles).mean(), np.cos(angles).mean())
    off = np.abs((angles - direction + np.pi) % (2 * np.pi) - np.pi)
    within = min(float(np.degrees(off.max())) + _DIRECTION_MARGIN, 180.0)
    return ChainStatistics(points, parts, float(np.degrees(direction)), within)


def fit_model_limit(
    pairs: Iterable[tuple[CineLabel, CineLabel]], *, schema: KeypointSchema, flagged: float = 0.002, noise: float = 0.004
) -> float:
    """How far a right label lies from where the model is sure to see a point, as a share of the image's size.

    Args:
        pairs: labels, each with the predictions for its image.
        schema: of the points.
        flagged: largest share of frames beyond it.
        noise: standard deviation of a person's click; the limit is never below what clicks explain.

    Raises:
        ValueError: the model is sure of no labelled point.
    """
    distances = [sure_distances(k.under(schema), predictions) for label, predictions in pairs for k in label.frames]
    furthest = [float(np.nanmax(d)) for d in distances if not np.isnan(d).all()]
    if not furthest:
        raise ValueError("the model is sure of no labelled point: are these the predictions for these labels?")
    return max(float(np.quantile(furthest, 1 - flagged, method="higher")), _LEAST * noise)
