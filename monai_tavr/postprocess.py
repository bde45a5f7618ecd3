"""From probabilities to a decision: which of the located points are there.

In order:

0. **Calibration.** The group output overstates what it knows; where the model's file has them, a slope and an offset of its logit
   per group, fitted on validation frames (:func:`monai_tavr.evaluation.calibration.fit_platt`), make a probability of it.
1. **Threshold.** A point is detected where its probability exceeds a threshold of its own, chosen on validation patients
   (:func:`select_thresholds`), 0.5 by default.
2. **Group rule** (paper, "Inference": no point of a group detected, the object is absent; one detected, the others are expected).
   A group is accepted where at least one of its points is detected and the network's group output, if there is one, does not
   contradict. In an accepted group the other points are judged given that the group is there: a point cannot show without its
   group, so p(point | group) = p(point) / p(group), and that is held against the same threshold. A confident group output
   changes nothing; a doubtful one, once a sibling has settled the doubt, lifts its points. A point that left the field keeps its
   low probability and stays absent: nothing is forced. Points of a rejected group are absent.
3. **Stage prior.** Groups that the surgeon's stage of the procedure rules out are absent, whatever the network says.
4. **Field.** A point located outside the image is absent.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from monai_tavr.files import write_json_atomically
from monai_tavr.formats.checks import read_json, shown
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema, load_schema

__all__ = [
    "KeypointPostprocess",
    "Thresholds",
    "allowed_groups_of",
    "check_groups",
    "load_postprocess",
    "read_thresholds",
    "write_thresholds",
]

_FILE_KEYS = {"schema", "thresholds", "group_thresholds", "group_calibration", "spread_floor", "selected_on"}
_LEAST = 1e-6  # a probability nearer to 0 or 1 has no logit that single precision could tell


def _per_name(values: float | Mapping[str, float], names: Sequence[str], what: str) -> dict[str, float]:
    """One threshold for all, or one per name; a name that is not given gets 0.5."""
    given = dict.fromkeys(names, values) if isinstance(values, int | float) else dict(values)
    for name, value in given.items():
        if name not in names:
            raise ValueError(f"{what} names the unknown {name!r}; known are {list(names)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ValueError(f"{what} of {name!r} must be a number in [0, 1], got {shown(value)}")
    return {name: float(given.get(name, 0.5)) for name in names}


def _calibrations(values: Any, names: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Slope above 0 and offset of each group that has them."""
    if not isinstance(values, Mapping):
        raise ValueError(f"'group_calibration' must map groups to [slope, offset], got {shown(values)}")
    for name, pair in values.items():
        if name not in names:
            raise ValueError(f"group calibration names the unknown {name!r}; known are {list(names)}")
        numbers = isinstance(pair, list | tuple) and len(pair) == 2 and all(type(v) in (int, float) for v in pair)
        if not numbers or not np.isfinite(pair).all() or pair[0] <= 0:
            raise ValueError(f"group calibration of {name!r} must be [slope above 0, offset], got {shown(pair)}")
    return {name: (float(slope), float(offset)) for name, (slope, offset) in values.items()}


def check_groups(schema: KeypointSchema, groups: Sequence[str] | None) -> tuple[str, ...] | None:
    """The allowed groups in the schema's order; None = all may be there, () = none. Raises ValueError for an unknown group."""
    if groups is None:
        return None
    if isinstance(groups, str):
        raise ValueError(f"allowed_groups must be a list of group names, got the text {groups!r}")
    for g in groups:
        if g not in schema.groups:
            raise ValueError(f"allowed_groups names the unknown group {g!r}; groups of {schema.name} are {list(schema.groups)}")
    return tuple(g for g in schema.groups if g in groups)


def allowed_groups_of(
    schema: KeypointSchema, *, stage: str | None = None, groups: Sequence[str] | None = None
) -> tuple[str, ...] | None:
    """The groups that can be there, stated by a stage of the procedure or by name; None = all.

    Args:
        schema: whose stages and groups they are.
        stage: id of one of its stages, or ``any``; None = not stated.
        groups: names of groups; None = not stated.

    Raises:
        ValueError: both are stated, or one is unknown.
    """
    if stage is None:
        return check_groups(schema, groups)
    if groups is not None:
        raise ValueError(f"stage {stage!r} and allowed_groups {list(groups)} are both given; give one of them")
    return schema.groups_at(stage)


@dataclass(frozen=True)
class Thresholds:
    """Decision thresholds of a model.

    Attributes:
        schema: name of the keypoint schema.
        points: point name -> threshold in [0, 1].
        groups: group name -> threshold in [0, 1] of the group output.
        group_calibration: group name -> slope and offset that make a probability of the logit of the group output; a missing
            group is left as the network says it.
        selected_on: which data chose them, in words.
        spread_floor: spread of well located points, as a share of the network input's side (root of its area): heat maps are
            taught with Gaussians of some width, and only what goes beyond it is doubt. 0 = unknown.
    """

    schema: str
    points: Mapping[str, float]
    groups: Mapping[str, float] = field(default_factory=dict)
    selected_on: str = ""
    spread_floor: float = 0.0
    group_calibration: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def read_thresholds(path: str | os.PathLike[str], *, schema: str | KeypointSchema = TAVR11) -> Thresholds:
    """Read ``models/thresholds.json``. Raises ValueError naming the file and the fault."""
    schema = load_schema(schema)
    content = read_json(path)
    if not isinstance(content, dict) or not {"schema", "thresholds"} <= set(content) <= _FILE_KEYS:
        raise ValueError(f"{path}: expected an object with 'schema', 'thresholds' and of {sorted(_FILE_KEYS)} only")
    if content["schema"] != schema.name:
        raise ValueError(f"{path}: thresholds of schema {shown(content['schema'])}, but the model's schema is {schema.name!r}")
    parts = [content["thresholds"], content.get("group_thresholds", {})]
    if not all(isinstance(p, dict) for p in parts):
        raise ValueError(f"{path}: 'thresholds' and 'group_thresholds' must map names to numbers")
    try:
        points = _per_name(parts[0], schema.names, "threshold")
        groups = _per_name(parts[1], schema.group_names, "group threshold")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    try:
        calibration = _calibrations(content.get("group_calibration", {}), schema.group_names)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    floor = content.get("spread_floor", 0.0)
    if isinstance(floor, bool) or not isinstance(floor, int | float) or not 0 <= floor < 1:
        raise ValueError(f"{path}: 'spread_floor' must be a number from 0 to 1, got {shown(floor)}")
    return Thresholds(schema.name, points, groups, str(content.get("selected_on", "")), float(floor), calibration)


def write_thresholds(path: str | os.PathLike[str], thresholds: Thresholds) -> None:
    """Write ``models/thresholds.json`` atomically."""
    content: dict[str, Any] = {"schema": thresholds.schema, "thresholds": dict(thresholds.points)}
    content |= {"group_thresholds": dict(thresholds.groups)} if thresholds.groups else {}
    if thresholds.group_calibration:
        content["group_calibration"] = {name: list(pair) for name, pair in thresholds.group_calibration.items()}
    content |= {"spread_floor": thresholds.spread_floor} if thresholds.spread_floor else {}
    write_json_atomically(path, content | {"selected_on": thresholds.selected_on})


@dataclass(frozen=True)
class KeypointPostprocess:
    """Located points with probabilities in, :class:`Keypoints` out (see the module's docstring).

    Attributes:
        schema: keypoint schema, by name, path or as it is.
        thresholds: one for all points, or point name -> threshold.
        group_thresholds: the same for the network's group output, calibrated.
        group_rule: False decides every point by itself.
        allowed_groups: groups that can be there at this stage of the procedure; None = all.
        group_calibration: group name -> slope and offset of the logit of the group output; a missing group is not calibrated.

    Raises:
        ValueError: an unknown point or group, or a threshold outside [0, 1].
    """

    schema: KeypointSchema = TAVR11
    thresholds: float | Mapping[str, float] = 0.5
    group_thresholds: float | Mapping[str, float] = 0.5
    group_rule: bool = True
    allowed_groups: Sequence[str] | None = None
    group_calibration: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        schema = load_schema(self.schema)
        points = _per_name(self.thresholds, schema.names, "threshold")
        groups = _per_name(self.group_thresholds, schema.group_names, "group threshold")
        object.__setattr__(self, "group_calibration", _calibrations(self.group_calibration, schema.group_names))
        object.__setattr__(self, "schema", schema)
        object.__setattr__(self, "thresholds", points)
        object.__setattr__(self, "group_thresholds", groups)
        object.__setattr__(self, "allowed_groups", check_groups(schema, self.allowed_groups))

    @classmethod
    def from_thresholds(
        cls, thresholds: Thresholds, *, schema: str | KeypointSchema = TAVR11, **options: Any
    ) -> KeypointPostprocess:
        """With the thresholds of a model's file; ``options`` are the other attributes."""
        groups = thresholds.groups or 0.5
        return cls(
            schema=load_schema(schema),
            thresholds=thresholds.points,
            group_thresholds=groups,
            group_calibration=thresholds.group_calibration,
            **options,
        )

    def with_groups(self, allowed_groups: Sequence[str] | None) -> KeypointPostprocess:
        """The same for another stage of the procedure."""
        return replace(self, allowed_groups=allowed_groups)

    def presence(self, group_probability: np.ndarray) -> np.ndarray:
        """Calibrated probabilities of the groups, of ``group_probability`` (..., G) in [0, 1] as the network says them."""
        if not self.group_calibration:
            return np.asarray(group_probability)
        p = np.clip(np.asarray(group_probability, float), _LEAST, 1 - _LEAST)
        pairs = np.array([self.group_calibration.get(g, (1.0, 0.0)) for g in self.schema.group_names])
        return np.asarray(1 / (1 + np.exp(-np.clip(pairs[:, 0] * np.log(p / (1 - p)) + pairs[:, 1], -40, 40))))

    def decide(self, probability: np.ndarray, group_probability: np.ndarray | None = None) -> np.ndarray:
        """Which points are there.

        Args:
            probability: (N, K) in [0, 1].
            group_probability: (N, G) in [0, 1] as the network says them, or None for a network without group output.

        Returns:
            (N, K) bool.

        Raises:
            ValueError: shapes do not fit the schema.
        """
        schema, probability = self.schema, np.asarray(probability, float)
        if probability.ndim != 2 or probability.shape[1] != schema.num_keypoints:
            raise ValueError(f"probability has shape {probability.shape}; {schema.name} needs (N, {schema.num_keypoints})")
        if group_probability is not None and np.shape(group_probability) != (len(probability), schema.num_groups):
            expected = (len(probability), schema.num_groups)
            raise ValueError(f"group_probability has shape {np.shape(group_probability)}; expected {expected}")
        present = probability > _vector(self.thresholds, schema.names)
        if self.group_rule:
            present = self._apply_group_rule(probability, group_probability, present)
        if self.allowed_groups is not None:
            present &= np.isin(schema.group_names, self.allowed_groups)[schema.group_index]
        return present

    def _apply_group_rule(
        self, probability: np.ndarray, group_probability: np.ndarray | None, detected: np.ndarray
    ) -> np.ndarray:
        schema, index = self.schema, self.schema.group_index
        groups = range(schema.num_groups)
        accepted = np.stack([detected[:, index == g].any(axis=1) for g in groups], axis=1)
        # no point is likelier than its group; without a group output this bound is all that is known
        group = np.stack([probability[:, index == g].max(axis=1) for g in groups], axis=1)
        if group_probability is not None:
            calibrated = self.presence(group_probability)
            accepted &= calibrated > _vector(self.group_thresholds, schema.group_names)
            group = np.maximum(group, calibrated)
        conditional = probability / np.maximum(group, np.finfo(float).tiny)[:, index]
        return accepted[:, index] & (conditional > _vector(self.thresholds, schema.names))

    def __call__(
        self,
        xy: np.ndarray,
        probability: np.ndarray,
        group_probability: np.ndarray | None = None,
        *,
        frame: int = 0,
        spacing: tuple[float, float] | None = None,
        image_shape: tuple[int, int] | None = None,
    ) -> Keypoints:
        """Decide on one frame.

        Args:
            xy: (K, 2) located points in native pixels, (x, y).
            probability: (K,) in [0, 1].
            group_probability: (G,) in [0, 1] or None.
            frame: 0-based index in the cine.
            spacing: millimetres per pixel (x, y), or None.
            image_shape: (H, W) in native pixels; points outside are absent. None = do not look.

        Returns:
            The points that are there, with the score of every point: the network's probability, untouched by the rules.
        """
        xy, probability = np.array(xy, dtype=np.float32), np.asarray(probability, float)
        groups = None if group_probability is None else np.asarray(group_probability, float)[None]
        present = self.decide(probability[None], groups)[0]
        if image_shape is not None:
            height, width = image_shape
            present &= ((xy >= -0.5) & (xy <= (width - 0.5, height - 0.5))).all(axis=1)
        xy[~present] = np.nan
        return Keypoints(schema=self.schema, xy=xy, score=probability, frame=frame, spacing=spacing)


def _vector(values: float | Mapping[str, float], names: Sequence[str]) -> np.ndarray:
    """(len(names),) of a complete mapping."""
    return np.array([values[n] for n in names]) if isinstance(values, Mapping) else np.full(len(names), values)


def load_postprocess(
    path: str | os.PathLike[str], *, schema: str | KeypointSchema = "tavr11", **options: Any
) -> KeypointPostprocess:
    """The decision rule with the thresholds of a model's file, or 0.5 everywhere where there is no such file."""
    schema = load_schema(schema)
    if not Path(path).is_file():
        logging.getLogger(__name__).warning(f"no thresholds at {path}: every point is judged at 0.5")
        return KeypointPostprocess(schema=schema, **options)
    return KeypointPostprocess.from_thresholds(read_thresholds(path, schema=schema), schema=schema, **options)
