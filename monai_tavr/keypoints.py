"""The one data type of the project: a keypoint schema and the keypoints of one frame.

A schema names the points, the groups whose members appear and vanish together (paper, section on grouped structure), the stages
of the procedure and the groups that each allows, the pairs that a mirror image exchanges, and how points are drawn and coded. It
comes from YAML, so a project with other points needs no code. Nothing else in the package knows how many points there are.

Coordinates are (x, y) = (column, row) in native image pixels, 0 = centre of the first pixel.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import yaml

__all__ = ["ANY_STAGE", "TAVR11", "KeypointSchema", "KeypointState", "Keypoints", "Stage", "load_schema"]

ANY_STAGE = "any"
"""Id of the stage that every schema has: nothing is stated, all groups can be there."""

_DEFAULT_COLOR = "#ffd54f"
_SCHEMA_KEYS = {
    *("name", "extends", "groups", "stages", "flip_pairs", "chains", "optional"),
    *("skeleton", "descriptions", "dicom_codes"),
}
_STAGE_KEYS = {"id", "title", "groups"}


class KeypointState(IntEnum):
    """What is known of a point on a frame. The three states never stand for one another.

    ``UNLABELLED`` (-1): nobody looked. ``ABSENT`` (0): looked for and not there. ``VISIBLE`` (1): it is there.
    """

    UNLABELLED = -1  # nobody looked
    ABSENT = 0  # looked for and not there
    VISIBLE = 1


@dataclass(frozen=True)
class Stage:
    """A stage of the procedure.

    Attributes:
        id: name for programs, e.g. ``survey``.
        title: words for people.
        groups: names of the groups that can be there; points of all others are absent.
    """

    id: str
    title: str
    groups: tuple[str, ...]


@dataclass(frozen=True)
class KeypointSchema:
    """Names, groups and drawing of a set of K keypoints.

    Attributes:
        name: name of the schema, e.g. ``TAVR11``.
        groups: group name -> names of its points. Every point belongs to exactly one group.
        stages: stages of the procedure, in their order; none = nothing is known of stages, and all groups can always be there.
        extends: names of the schemas that this one has grown from: their labels are labels of this one, with the points that they
            do not know unlabelled.
        flip_pairs: pairs of names that a mirror image exchanges.
        skeleton: pairs of names joined by a line in overlays.
        colors: group name -> ``#rrggbb``.
        titles: group name -> words for people.
        descriptions: point name -> words for people.
        dicom_codes: point name -> (code value, coding scheme, meaning) of its finding site.
        chains: points that lie behind one another along a device, in their order; none turns back.
        optional: names of the points that may be absent inside the picture although their group is visible.

    Raises:
        ValueError: a name is repeated, unknown, or not an identifier; a stage allows no group, or an unknown one.
    """

    name: str
    groups: Mapping[str, tuple[str, ...]]
    stages: tuple[Stage, ...] = ()
    extends: tuple[str, ...] = ()
    flip_pairs: tuple[tuple[str, str], ...] = ()
    skeleton: tuple[tuple[str, str], ...] = ()
    colors: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    dicom_codes: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)
    chains: tuple[tuple[str, ...], ...] = ()
    optional: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for attribute in ("groups", "colors", "titles", "descriptions", "dicom_codes"):
            object.__setattr__(self, attribute, MappingProxyType(dict(getattr(self, attribute))))
        names = self.names
        if not names:
            raise ValueError(f"schema {self.name!r} has no points: give at least one group with one point")
        for group, members in self.groups.items():
            if not members:
                raise ValueError(f"schema {self.name!r}: group {group!r} has no points; leave it out")
        repeated = sorted({n for n in names if names.count(n) > 1})
        if repeated:
            raise ValueError(f"schema {self.name!r}: point {repeated[0]!r} stands in more than one place; a point has one group")
        for n in (*names, *self.groups, *(stage.id for stage in self.stages)):
            if not n.replace("_", "").replace("-", "").isalnum():
                raise ValueError(f"schema {self.name!r}: {n!r} is not a name; use letters, digits, '_' and '-'")
        for what, pairs in (("flip_pairs", self.flip_pairs), ("skeleton", self.skeleton)):
            for pair in pairs:
                if len(pair) != 2 or pair[0] == pair[1]:
                    raise ValueError(f"schema {self.name!r}: {what} entry {pair!r} is not a pair of two different points")
                self._check_known(pair, what)
        flipped = [n for pair in self.flip_pairs for n in pair]
        if len(set(flipped)) != len(flipped):
            raise ValueError(f"schema {self.name!r}: a point stands in two flip_pairs")
        for chain in self.chains:
            if len(chain) < 3 or len(set(chain)) != len(chain):
                raise ValueError(f"schema {self.name!r}: chains entry {chain!r} is not a row of three or more different points")
            self._check_known(chain, "chains")
        self._check_known(self.optional, "optional")
        self._check_known(self.descriptions, "descriptions")
        self._check_known(self.dicom_codes, "dicom_codes")
        for what, by_group in (("colors", self.colors), ("titles", self.titles)):
            for g in by_group:
                if g not in self.groups:
                    raise ValueError(
                        f"schema {self.name!r}: {what} names the unknown group {g!r}; groups are {list(self.groups)}"
                    )
        self._check_stages()

    def _check_stages(self) -> None:
        taken = {ANY_STAGE}
        for stage in self.stages:
            if stage.id in taken:
                reason = "stands for no stage in particular" if stage.id == ANY_STAGE else "stands in more than one place"
                raise ValueError(f"schema {self.name!r}: stage {stage.id!r} {reason}; give it another id")
            taken.add(stage.id)
            if not stage.groups:
                raise ValueError(f"schema {self.name!r}: stage {stage.id!r} allows no group; leave it out")
            for g in stage.groups:
                if g not in self.groups:
                    raise ValueError(
                        f"schema {self.name!r}: stage {stage.id!r} names the unknown group {g!r}; groups are {list(self.groups)}"
                    )

    def __reduce__(self) -> tuple[Any, ...]:
        # mapping proxies do not pickle; data loaders send schemas to their workers
        mappings = (dict(self.colors), dict(self.titles), dict(self.descriptions), dict(self.dicom_codes))
        rows = (self.stages, self.extends, self.flip_pairs, self.skeleton)
        return (type(self), (self.name, dict(self.groups), *rows, *mappings, self.chains, self.optional))

    def __eq__(self, other: object) -> bool:
        # mappings compare without order, but the order of the groups is the order of the rows
        return isinstance(other, KeypointSchema) and self.names == other.names and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.name, self.names))

    def _check_known(self, names: Mapping[str, Any] | Sequence[str], what: str) -> None:
        for n in names:
            if n not in self.names:
                raise ValueError(f"schema {self.name!r}: {what} names the unknown point {n!r}; points are {list(self.names)}")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The K point names, group after group."""
        return tuple(n for members in self.groups.values() for n in members)

    @property
    def num_keypoints(self) -> int:
        """K, the number of points."""
        return len(self.names)

    @property
    def group_names(self) -> tuple[str, ...]:
        """The G group names."""
        return tuple(self.groups)

    @property
    def num_groups(self) -> int:
        """G, the number of groups."""
        return len(self.groups)

    @property
    def group_index(self) -> np.ndarray:
        """(K,) int64: index of each point's group."""
        return np.repeat(np.arange(self.num_groups), [len(m) for m in self.groups.values()])

    @property
    def flip_permutation(self) -> np.ndarray:
        """(K,) int64: after a mirror image, ``points[flip_permutation]`` restores the meaning of each row."""
        order = {n: i for i, n in enumerate(self.names)}
        permutation = np.arange(self.num_keypoints)
        for a, b in self.flip_pairs:
            permutation[order[a]], permutation[order[b]] = order[b], order[a]
        return permutation

    def index(self, name: str) -> int:
        """Row of a point. Raises ValueError for an unknown name."""
        self._check_known([name], "request")
        return self.names.index(name)

    def group_of(self, name: str) -> str:
        """Name of the group that holds a point."""
        return self.group_names[int(self.group_index[self.index(name)])]

    def color_of(self, name: str) -> str:
        """``#rrggbb`` of a point: its group's colour."""
        return self.colors.get(self.group_of(name), _DEFAULT_COLOR)

    def groups_at(self, stage: str) -> tuple[str, ...] | None:
        """Names of the groups that can be there at a stage of the procedure, by its id; None = all.

        Raises:
            ValueError: the schema has no such stage; the message names those it has.
        """
        if stage == ANY_STAGE:
            return None
        for known in self.stages:
            if known.id == stage:
                return tuple(g for g in self.groups if g in known.groups)
        raise ValueError(f"no stage {stage!r}; stages of {self.name} are {[ANY_STAGE, *(s.id for s in self.stages)]}")

    def reads(self, name: str) -> bool:
        """Whether labels of the schema of that name are labels of this one: of itself, and of those that it extends."""
        return name == self.name or name in self.extends

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], *, where: str = "schema") -> KeypointSchema:
        """Build a schema from parsed YAML (see ``schemas/tavr11.yaml``). Raises ValueError naming ``where`` and the fault."""
        if not isinstance(content, Mapping):
            raise ValueError(f"{where}: expected a mapping with 'name' and 'groups', got {type(content).__name__}")
        unknown = sorted(set(content) - _SCHEMA_KEYS)
        if unknown:
            raise ValueError(f"{where}: unknown key {unknown[0]!r}; known keys are {sorted(_SCHEMA_KEYS)}")
        groups = content.get("groups")
        if not isinstance(groups, Mapping) or not all(isinstance(g, Mapping) and "points" in g for g in groups.values()):
            raise ValueError(f"{where}: 'groups' must map each group's name to {{points: [...], color: ..., title: ...}}")
        extends = content.get("extends") or ()
        try:
            return cls(
                name=str(content.get("name", Path(where).stem)),
                groups={str(g): tuple(str(n) for n in v["points"]) for g, v in groups.items()},
                stages=tuple(_stage_from_dict(s, f"stages[{i}]") for i, s in enumerate(content.get("stages") or ())),
                extends=(extends,) if isinstance(extends, str) else tuple(str(n) for n in extends),
                flip_pairs=tuple((str(a), str(b)) for a, b in content.get("flip_pairs") or ()),
                skeleton=tuple((str(a), str(b)) for a, b in content.get("skeleton") or ()),
                colors={str(g): str(v["color"]) for g, v in groups.items() if "color" in v},
                titles={str(g): str(v["title"]) for g, v in groups.items() if "title" in v},
                descriptions={str(n): str(v) for n, v in (content.get("descriptions") or {}).items()},
                dicom_codes={str(n): (str(v[0]), str(v[1]), str(v[2])) for n, v in (content.get("dicom_codes") or {}).items()},
                chains=tuple(_names(c, "chains entry") for c in content.get("chains") or ()),
                optional=_names(content.get("optional") or (), "optional"),
            )
        except (TypeError, IndexError, ValueError) as error:
            raise ValueError(f"{where}: {error}") from error

    def to_yaml(self) -> str:
        """The text of a file that :func:`load_schema` reads."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, default_flow_style=None)

    def to_dict(self) -> dict[str, Any]:
        """The inverse of :meth:`from_dict`: plain containers for YAML or JSON. Do not sort the keys: groups order the points."""
        groups = {
            g: {"points": list(points)}
            | ({"color": self.colors[g]} if g in self.colors else {})
            | ({"title": self.titles[g]} if g in self.titles else {})
            for g, points in self.groups.items()
        }
        return {
            "name": self.name,
            "extends": list(self.extends),
            "groups": groups,
            "stages": [{"id": s.id, "title": s.title, "groups": list(s.groups)} for s in self.stages],
            "flip_pairs": [list(p) for p in self.flip_pairs],
            "chains": [list(c) for c in self.chains],
            "optional": list(self.optional),
            "skeleton": [list(p) for p in self.skeleton],
            "descriptions": dict(self.descriptions),
            "dicom_codes": {n: list(c) for n, c in self.dicom_codes.items()},
        }


def _names(content: Any, what: str) -> tuple[str, ...]:
    if isinstance(content, str) or not isinstance(content, Sequence):
        raise ValueError(f"{what} must be a list of names of points, got {content!r}")
    return tuple(str(n) for n in content)


def _stage_from_dict(content: Any, where: str) -> Stage:
    if not isinstance(content, Mapping) or not {"id", "groups"} <= set(content) <= _STAGE_KEYS:
        raise ValueError(f"{where} must be {{id: ..., title: ..., groups: [...]}}, got {content!r}")
    groups = content["groups"]
    if isinstance(groups, str) or not isinstance(groups, Sequence):
        raise ValueError(f"{where}: 'groups' must be a list of names of groups, got {groups!r}")
    return Stage(str(content["id"]), str(content.get("title", content["id"])), tuple(str(g) for g in groups))


def load_schema(source: str | os.PathLike[str] | KeypointSchema) -> KeypointSchema:
    """A schema from a packaged name (``tavr11``, ``authors10``), the path of a YAML file, or a schema as it is.

    Raises:
        ValueError: no such schema, or the file's content is not one; the message says where and what.
    """
    if isinstance(source, KeypointSchema):
        return source
    packaged = resources.files("monai_tavr") / "schemas"
    known = sorted(p.name.removesuffix(".yaml") for p in packaged.iterdir() if p.name.endswith(".yaml"))
    if str(source).lower() in known:
        text = (packaged / f"{str(source).lower()}.yaml").read_text(encoding="utf-8")
    elif Path(source).is_file():
        text = Path(source).read_text(encoding="utf-8")
    else:
        raise ValueError(f"no schema {str(source)!r}: give one of {known} or the path of a YAML file")
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{source}: not valid YAML: {error}") from error
    return KeypointSchema.from_dict(content, where=str(source))


TAVR11 = load_schema("tavr11")
"""The 11 points of the paper in three groups, ``schemas/tavr11.yaml``."""


@dataclass(frozen=True, eq=False)
class Keypoints:
    """The K keypoints of one frame.

    Attributes:
        schema: names and groups of the points.
        xy: (K, 2) float32, (x, y) in native pixels, 0 = centre of the first pixel; NaN = not visible.
        score: (K,) float32 visibility probability in [0, 1], or None (a person's label has none).
        labelled: (K,) bool; False = nobody looked for this point. Default: all True.
        frame: 0-based index of the frame in its cine.
        spacing: millimetres per pixel (x, y) in the patient, or None when unknown.

    Raises:
        ValueError: shapes do not fit the schema, a coordinate is half NaN or infinite, a score is outside [0, 1], or an
            unlabelled point has coordinates.
    """

    schema: KeypointSchema
    xy: np.ndarray
    score: np.ndarray | None = None
    labelled: np.ndarray | None = None
    frame: int = 0
    spacing: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        k = self.schema.num_keypoints
        xy = np.array(self.xy, dtype=np.float32)
        if xy.shape != (k, 2):
            raise ValueError(f"xy has shape {xy.shape}; schema {self.schema.name!r} needs ({k}, 2)")
        missing = np.isnan(xy)
        if np.isinf(xy).any() or (missing[:, 0] != missing[:, 1]).any():
            raise ValueError(f"xy must be finite or NaN in both coordinates, got {xy.tolist()}")
        score = None if self.score is None else np.array(self.score, dtype=np.float32)
        if score is not None and score.shape != (k,):
            raise ValueError(f"score has shape {score.shape}; schema {self.schema.name!r} needs ({k},)")
        if score is not None and not ((score >= 0) & (score <= 1)).all():
            raise ValueError(f"scores must lie in [0, 1], got {score.tolist()}")
        labelled = np.ones(k, bool) if self.labelled is None else np.array(self.labelled, dtype=bool)
        if labelled.shape != (k,):
            raise ValueError(f"labelled has shape {labelled.shape}; schema {self.schema.name!r} needs ({k},)")
        if (~labelled & ~missing[:, 0]).any():
            name = self.schema.names[int(np.argmax(~labelled & ~missing[:, 0]))]
            raise ValueError(f"point {name!r} is unlabelled but has coordinates: label it or clear it")
        if self.frame < 0:
            raise ValueError(f"frame is 0-based and not negative, got {self.frame}")
        if self.spacing is not None and not all(np.isfinite(s) and s > 0 for s in self.spacing):
            raise ValueError(f"spacing must be positive millimetres (x, y) or None, got {self.spacing}")
        for array in (xy, score, labelled):
            if array is not None:
                array.flags.writeable = False
        for name, value in (("xy", xy), ("score", score), ("labelled", labelled)):
            object.__setattr__(self, name, value)

    @property
    def visible(self) -> np.ndarray:
        """(K,) bool: the point is there."""
        return ~np.isnan(self.xy[:, 0])

    @property
    def state(self) -> np.ndarray:
        """(K,) int8 of :class:`KeypointState` values."""
        return np.where(np.asarray(self.labelled), self.visible.astype(np.int8), np.int8(KeypointState.UNLABELLED))

    @property
    def group_state(self) -> np.ndarray:
        """(G,) int8 of :class:`KeypointState`.

        A group is visible if any member is, absent if all members were looked for and none is there, else unlabelled.
        """
        state, index = self.state, self.schema.group_index
        members = [state[index == g] for g in range(self.schema.num_groups)]
        return np.array(
            [
                KeypointState.VISIBLE
                if (m == KeypointState.VISIBLE).any()
                else (KeypointState.ABSENT if (m == KeypointState.ABSENT).all() else KeypointState.UNLABELLED)
                for m in members
            ],
            dtype=np.int8,
        )

    def keep(self, mask: np.ndarray) -> Keypoints:
        """The same frame with the points outside ``mask`` (K,) bool made absent; scores stay, for they are what was measured."""
        return replace(self, xy=np.where(np.asarray(mask, bool)[:, None], self.xy, np.float32(np.nan)))

    def under(self, schema: KeypointSchema) -> Keypoints:
        """The same frame in another schema, by the points' names: those that are new there are unlabelled, with a score of 0."""
        order = [self.schema.names.index(n) if n in self.schema.names else -1 for n in schema.names]
        taken = np.array(order) >= 0
        xy = np.where(taken[:, None], self.xy[order], np.float32(np.nan))
        score = None if self.score is None else np.where(taken, self.score[order], np.float32(0))
        return replace(self, schema=schema, xy=xy, score=score, labelled=taken & np.asarray(self.labelled)[order])

    @classmethod
    def from_points(
        cls,
        schema: KeypointSchema,
        points: Mapping[str, tuple[float, float] | None],
        *,
        frame: int = 0,
        spacing: tuple[float, float] | None = None,
    ) -> Keypoints:
        """From ``{name: (x, y)}``; ``{name: None}`` is absent and a missing name unlabelled."""
        xy = np.full((schema.num_keypoints, 2), np.nan, np.float32)
        labelled = np.zeros(schema.num_keypoints, bool)
        for name, point in points.items():
            i = schema.index(name)
            labelled[i] = True
            if point is not None:
                xy[i] = point
        return cls(schema=schema, xy=xy, labelled=labelled, frame=frame, spacing=spacing)
