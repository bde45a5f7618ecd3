"""From a frame on disk to a network input with its target, and back.

Points stay in native pixels the whole way. What moves is the image, and its MONAI affine (identity over (row, column) at loading)
follows every spatial transform, MONAI's own included. At the end one transform maps the points by the inverse of that affine,
exchanges the flip pairs where the affine mirrors, and makes points outside the network's field absent. So no spatial transform
has to know of points, and none can forget to swap the pairs.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import to_affine_nd
from monai.transforms import MapTransform, Transform

from monai_tavr.codec import KeypointCodec
from monai_tavr.dicom import Cine, open_cine
from monai_tavr.files import FileStamp
from monai_tavr.formats.label_json import read_label_json
from monai_tavr.keypoints import Keypoints, KeypointSchema, KeypointState, load_schema
from monai_tavr.label import CineLabel
from monai_tavr.postprocess import KeypointPostprocess
from monai_tavr.transforms.framing import FrameFit, fit_frames, map_points, normalise, prepare_frames

__all__ = [
    "FIELD",
    "NATIVE_SIZE",
    "DecodeKeypointsd",
    "EncodeKeypointsd",
    "FitFramesd",
    "FrameFit",
    "LoadFramed",
    "NormaliseFramesd",
    "fit_frames",
    "map_points",
    "normalise",
    "points_to_network",
    "prepare_frames",
]

# keys of the image's meta data
FIELD = "field"  # (row0, column0, row1, column1) that a collimator leaves open
NATIVE_SIZE = "native_size"  # (H, W) of the frame on disk


def points_to_network(
    xy: np.ndarray,
    state: np.ndarray,
    *,
    affine: np.ndarray,
    field: Sequence[float],
    schema: KeypointSchema,
) -> tuple[np.ndarray, np.ndarray]:
    """Native points in the frame of a transformed image.

    Args:
        xy: (K, 2) native pixels, NaN where not visible.
        state: (K,) of :class:`KeypointState`.
        affine: (3, 3) over (row, column), from the transformed image to native pixels.
        field: (row0, column0, row1, column1) of the transformed image's pixels that show something, ends excluded.
        schema: its flip pairs are exchanged where the affine mirrors.

    Returns:
        (K, 2) pixels of the transformed image and (K,) states; visible points that left the field are absent.
    """
    xy = map_points(np.asarray(xy, np.float64), np.linalg.inv(affine))
    state = np.array(state)
    if np.linalg.det(affine[:2, :2]) < 0:
        xy, state = xy[schema.flip_permutation], state[schema.flip_permutation]
    row0, column0, row1, column1 = field
    inside = (xy >= (column0 - 0.5, row0 - 0.5)).all(1) & (xy < (column1 - 0.5, row1 - 0.5)).all(1)
    state[(state == KeypointState.VISIBLE) & ~inside] = KeypointState.ABSENT
    return np.where((state == KeypointState.VISIBLE)[:, None], xy, np.nan).astype(np.float32), state


@lru_cache(maxsize=2)
def _cine(path: str, stamps: tuple[FileStamp, ...]) -> Cine:
    # items of one file follow one another; opening a cine for each of its frames would cost more than decoding it
    return open_cine(path)


@lru_cache(maxsize=2)
def _label(path: str, stamps: tuple[FileStamp, ...], schema: KeypointSchema) -> CineLabel:
    return read_label_json(path, schema=schema)


def _stamped(path: str | os.PathLike[str]) -> tuple[str, tuple[FileStamp, ...]]:
    """A file, or a folder of single frames, and what its content is known by."""
    path = Path(path)
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    return str(path), tuple(FileStamp.of(p) for p in files)


class LoadFramed(Transform):
    """Load one frame of a cine, and its keypoints where the item names a label, or groups that are absent.

    From ``{"image": path, "label": path, "frame": index}`` (``frame`` default 0) it makes ``image``, a MetaTensor (1, H, W) with
    identity affine over (row, column) and the meta data ``filename_or_obj``, ``frames`` (1,) and ``spacing`` (2,), as
    :class:`XAReader` does; ``keypoints`` (K, 2) float32 native pixels, NaN where not visible; ``state`` (K,) int8.

    Args:
        schema: keypoint schema.
        neighbours: also make ``views`` (3, H, W), a MetaTensor like ``image``: the frame, the one before and the one after it. A
            frame that lacks one of them, a picture for instance, stands for both.

    Raises:
        ValueError: a file cannot be read, or has no such frame.
    """

    def __init__(self, *, schema: str | KeypointSchema = "tavr11", neighbours: bool = False) -> None:
        self.schema, self.neighbours = load_schema(schema), neighbours

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        cine, frame = _cine(*_stamped(item["image"])), int(item.get("frame", 0))
        if not 0 <= frame < len(cine):
            raise ValueError(f"{item['image']}: frame {frame} asked for, but the file has {len(cine)} frame(s)")
        spacing = cine.info.spacing
        if item.get("label") is not None:
            points = _label(*_stamped(item["label"]), self.schema).frame(frame, schema=self.schema)
            item |= {"keypoints": torch.tensor(points.xy), "state": torch.tensor(points.state)}
            spacing = points.spacing or spacing
        elif item.get("absent_groups") is not None:
            item = item | _without(item["absent_groups"], self.schema)
        meta = {
            "filename_or_obj": str(item["image"]),
            "frames": np.array([frame]),
            "spacing": np.array(spacing or (np.nan, np.nan)),
        }
        item["image"] = _image(cine.frame(frame)[None], meta)
        if self.neighbours:
            inside = 0 < frame < len(cine) - 1
            item["views"] = _image(cine.frames([frame, frame - 1, frame + 1] if inside else [frame] * 3), meta)
        return item


def _image(pixels: np.ndarray, meta: Mapping[str, Any]) -> MetaTensor:
    """(C, H, W) native pixels, whose affine is the identity over (row, column)."""
    return MetaTensor(torch.from_numpy(pixels), affine=torch.eye(3, dtype=torch.float64), meta=dict(meta))


def _without(groups: Sequence[str], schema: KeypointSchema) -> dict[Hashable, Any]:
    """The keypoints of a frame without these groups, on which nobody has looked for the others."""
    absent = {name: None for name in schema.names if schema.group_of(name) in groups}
    points = Keypoints.from_points(schema, absent)
    return {"keypoints": torch.tensor(points.xy), "state": torch.tensor(points.state)}


class FitFramesd(MapTransform):
    """:func:`fit_frames` on images (C, H, W); the affine follows.

    Args:
        keys: images, MetaTensors with an affine over (row, column).
        image_size: (h, w) of the network's input in pixels.
    """

    def __init__(self, keys: KeysCollection, *, image_size: Sequence[int], allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_size = (int(image_size[0]), int(image_size[1]))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key]
            fitted, fit = fit_frames(torch.as_tensor(image.as_tensor()), image_size=self.image_size)
            affine = to_affine_nd(2, image.affine) @ torch.from_numpy(fit.affine)
            meta = {name: value for name, value in image.meta.items() if name != "affine"}
            meta[NATIVE_SIZE] = torch.tensor(image.shape[-2:])
            item[key] = MetaTensor(fitted, affine=affine, meta=meta)
        return item


class NormaliseFramesd(MapTransform):
    """:func:`normalise` on images (C, h, w)."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        return dict(data) | {key: normalise(data[key].float()) for key in self.key_iterator(dict(data))}


class EncodeKeypointsd(MapTransform):
    """Keypoints in native pixels to the network's target, following the image's affine (see :func:`points_to_network`).

    It reads ``keypoints`` and ``state`` and writes ``target`` (K + G, 3) float32, see :class:`KeypointCodec`.

    Args:
        keys: the image, a MetaTensor (C, h, w).
        schema: keypoint schema.
    """

    def __init__(self, keys: KeysCollection, *, schema: str | KeypointSchema = "tavr11") -> None:
        super().__init__(keys)
        self.schema = load_schema(schema)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        image = item[self.keys[0]]
        height, width = image.shape[-2:]
        xy, state = points_to_network(
            np.asarray(item["keypoints"]),
            np.asarray(item["state"]),
            affine=to_affine_nd(2, image.affine).numpy(),
            field=image.meta.get(FIELD, (0, 0, height, width)),
            schema=self.schema,
        )
        codec = KeypointCodec(self.schema, image_size=(height, width))
        return item | {"target": codec.encode(xy, state)}


class DecodeKeypointsd(MapTransform):
    """The network's output to :class:`Keypoints` in native pixels, following the image's affine back.

    It reads the output (K + G, 4) of a frame, or (F, K + G, 4) of a cine, and writes a :class:`Keypoints`, or a list of F, under
    the same key. Where the item holds ``keypoints`` and ``state``, they become a :class:`Keypoints` under ``truth``.

    Args:
        keys: the output.
        image_key: the network's input, a MetaTensor (C, h, w) that deterministic transforms made.
        postprocess: decides which points are there; default: threshold 0.5 and group rule.
    """

    def __init__(self, keys: KeysCollection, *, image_key: str = "image", postprocess: KeypointPostprocess | None = None) -> None:
        super().__init__(keys)
        self.image_key = image_key
        self.postprocess = KeypointPostprocess() if postprocess is None else postprocess

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item, schema = dict(data), self.postprocess.schema
        image = item[self.image_key]
        spacing, indices = _spacing(image.meta.get("spacing")), image.meta.get("frames")
        for key in self.key_iterator(item):
            output = torch.as_tensor(item[key])
            outputs = output if output.ndim == 3 else output[None]
            numbers = range(len(outputs)) if indices is None else [int(i) for i in indices]
            frames = self._decode(outputs, image, numbers, spacing)
            item[key] = frames if output.ndim == 3 else frames[0]
        if "keypoints" in item:
            labelled = np.asarray(item["state"]) != KeypointState.UNLABELLED
            xy, frame = np.asarray(item["keypoints"]), 0 if indices is None else int(indices[0])
            item["truth"] = Keypoints(schema=schema, xy=xy, labelled=labelled, frame=frame, spacing=spacing)
        return item

    def _decode(
        self, outputs: torch.Tensor, image: MetaTensor, numbers: Sequence[int], spacing: tuple[float, float] | None
    ) -> list[Keypoints]:
        height, width = image.shape[-2:]
        decoded = KeypointCodec(self.postprocess.schema, image_size=(height, width)).decode(outputs)
        xy = map_points(decoded.xy.cpu().numpy(), to_affine_nd(2, image.affine).cpu().numpy())
        rows, columns = (int(n) for n in image.meta[NATIVE_SIZE])
        probability, groups = decoded.probability.cpu().numpy(), decoded.group_probability.cpu().numpy()
        return [
            self.postprocess(p, v, g, frame=number, spacing=spacing, image_shape=(rows, columns))
            for p, v, g, number in zip(xy, probability, groups, numbers, strict=True)
        ]


def _spacing(value: Any) -> tuple[float, float] | None:
    """(x, y) of a pair that may be missing or NaN."""
    if value is None or not np.isfinite(np.asarray(value, dtype=float)).all():
        return None
    x, y = (float(v) for v in value)
    return x, y
