"""The learner of the replay: a network small enough to be fine-tuned a hundred times on a laptop, and its frames in memory.

It has the project's heads, loss and output; only the backbone is small, and the picture.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_tavr import __version__
from monai_tavr.active_learning.outputs import FrameOutputs, network_outputs
from monai_tavr.codec import STATE, KeypointCodec, X, Y
from monai_tavr.evaluation.frames import LabelledCine
from monai_tavr.files import replacing
from monai_tavr.keypoints import TAVR11, KeypointSchema, KeypointState
from monai_tavr.networks.heads import GroupedHeatmapHead
from monai_tavr.postprocess import KeypointPostprocess
from monai_tavr.training.loss import GroupedKeypointLoss
from monai_tavr.transforms.framing import prepare_frames

__all__ = ["FrameArrays", "Lessons", "Student", "array_digest", "load_frames"]

_CHANNELS = (8, 16, 32, 64, 96)  # of the stem and of C2 to C5
_WIDTH = 16  # of the head
_SIGMA = 1.5  # of the Gaussians, in cells of the heat map
_SHIFT = 0.06  # of the side: how far a batch is moved


def array_digest(arrays: Iterable[np.ndarray]) -> str:
    """16 hexadecimal digits: the same for the same values, shapes and types.

    Args:
        arrays: numbers of any shape.
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class FrameArrays:
    """N labelled frames, ready for the network.

    Attributes:
        images: (N, 1, h, w) float16, normalised grey levels.
        xy: (N, K, 2) float32 true places as shares of the side; 0 where not visible.
        state: (N, K) int8 of :class:`KeypointState`.
        cine, frame, patient: (N,) 0-based numbers of the cine, of the frame in it, and of the patient.
    """

    images: np.ndarray
    xy: np.ndarray
    state: np.ndarray
    cine: np.ndarray
    frame: np.ndarray
    patient: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    @property
    def digest(self) -> str:
        """See :func:`array_digest`."""
        return array_digest(vars(self).values())

    def select(self, which: Any) -> FrameArrays:
        """Some of the frames, by index or mask."""
        return FrameArrays(**{f.name: getattr(self, f.name)[which] for f in fields(self)})


@dataclass(frozen=True, eq=False)
class Lessons:
    """Frames to train on.

    Attributes:
        images: (N, 1, h, w) float16, normalised grey levels.
        targets: (N, K+G, 3): normalised x and y, :class:`KeypointState`; see :meth:`monai_tavr.codec.KeypointCodec.encode`.
    """

    images: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.images)

    @property
    def digest(self) -> str:
        """See :func:`array_digest`."""
        return array_digest(t.numpy() for t in (self.images, self.targets))


def load_frames(
    cines: Sequence[LabelledCine], *, image_size: int, every: int = 1, cache: Path | None = None, progress: Any = None
) -> FrameArrays:
    """Read frames and resize them once.

    Args:
        cines: from :func:`monai_tavr.evaluation.frames.group_by_cine`.
        image_size: side s of the network's input, in pixels.
        every: keep every such frame of a cine.
        cache: file to keep the result in; it is used where it was made of the same files, labels and settings.
        progress: called with 1 after every cine.
    """
    key = _source_digest(cines, image_size, every)
    if cache is not None and cache.is_file():
        with np.load(cache, allow_pickle=False) as stored:
            if str(stored["key"]) == key:
                return FrameArrays(**{f.name: stored[f.name] for f in fields(FrameArrays)})
    patients = {name: i for i, name in enumerate(dict.fromkeys(c.patient for c in cines))}
    parts = []
    for number, cine in enumerate(cines):
        parts.append(_load_cine(cine, number, patients[cine.patient], image_size, every))
        if progress is not None:
            progress(1)
    loaded = FrameArrays(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(FrameArrays)})
    if cache is not None:
        with replacing(cache) as stream:
            np.savez(stream, key=np.array(key), **vars(loaded))
    return loaded


def _source_digest(cines: Sequence[LabelledCine], image_size: int, every: int) -> str:
    """Changes with the cines, their files (by size and time of change), their labels, and what is made of them."""
    digest = hashlib.sha256(repr((__version__, image_size, every)).encode())
    for cine in cines:
        files = sorted(p for p in cine.image.iterdir() if p.is_file()) if cine.image.is_dir() else [cine.image]
        stamps = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]
        digest.update(repr((str(cine.image.resolve()), stamps, cine.patient, cine.frames)).encode())
        truth = {k.frame: k for k in cine.label.frames}
        digest.update(array_digest(a for f in cine.frames for a in (truth[f].xy, truth[f].state)).encode())
    return digest.hexdigest()


def _load_cine(cine: LabelledCine, number: int, patient: int, image_size: int, every: int) -> FrameArrays:
    from monai_tavr.dicom import open_cine

    chosen = cine.frames[::every]
    truth = {k.frame: k for k in cine.label.frames}
    inputs, fit = prepare_frames(open_cine(cine.image).frames(chosen), image_size=(image_size, image_size))
    xy = np.stack([fit.to_network(truth[f].xy) for f in chosen]) / image_size
    return FrameArrays(
        images=inputs.numpy().astype(np.float16),
        xy=np.nan_to_num(xy).astype(np.float32),
        state=np.stack([truth[f].state for f in chosen]).astype(np.int8),
        cine=np.full(len(chosen), number),
        frame=np.array(chosen),
        patient=np.full(len(chosen), patient),
    )


def _block(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True))


class _SmallBackbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = _block(1, _CHANNELS[0], 2)
        steps = itertools.pairwise(_CHANNELS)
        self.stages = nn.ModuleList(nn.Sequential(_block(a, b, 2), _block(b, b, 1)) for a, b in steps)

    def forward(self, x: Tensor) -> list[Tensor]:
        x, features = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class _SmallNet(nn.Module):
    def __init__(self, schema: KeypointSchema) -> None:
        super().__init__()
        self.backbone = _SmallBackbone()
        self.head = GroupedHeatmapHead(_CHANNELS[1:], [len(points) for points in schema.groups.values()], width=_WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_with_features(x)[0]

    def forward_with_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.backbone(x)
        return self.head(features), features[-1].float().mean(dim=(2, 3))


class Student:
    """The small network with what it takes to teach and to ask it.

    Args:
        image_size: side of its input in pixels, a multiple of 32.
        schema: keypoint schema.
        seed: of the first weights.

    Raises:
        ValueError: ``image_size`` is no such multiple.
    """

    def __init__(self, *, image_size: int = 96, schema: KeypointSchema = TAVR11, seed: int = 0) -> None:
        if image_size < 64 or image_size % 32:
            raise ValueError(f"image_size = {image_size}: give a multiple of 32, at least 64")
        self.schema, self.image_size = schema, image_size
        self.codec = KeypointCodec(schema, image_size=(image_size, image_size))
        self.rules = KeypointPostprocess(schema=schema)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = _SmallNet(schema).to(memory_format=torch.channels_last)

    def state(self) -> dict[str, Tensor]:
        """A copy of the weights."""
        return {name: value.clone() for name, value in self.network.state_dict().items()}

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Take weights."""
        self.network.load_state_dict(weights)

    def lessons(self, frames: FrameArrays) -> Lessons:
        """Labelled frames with their targets."""
        pixels = frames.xy * self.image_size
        targets = [self.codec.encode(p, s) for p, s in zip(pixels, frames.state, strict=True)]
        return Lessons(torch.from_numpy(frames.images), torch.stack(targets))

    def train(
        self,
        lessons: Sequence[Lessons],
        *,
        iterations: int,
        learning_rate: float,
        per_batch: Sequence[int] = (16,),
        seed: int = 0,
        fixed_statistics: bool = False,
        progress: Any = None,
    ) -> None:
        """Train on frames, in another order in every pass, shifted a little and with other contrast.

        Args:
            lessons: sets of frames.
            iterations: batches.
            learning_rate: at the start; it falls along half a cosine.
            per_batch: how many frames each set gives to every batch.
            seed: of the order and the augmentation.
            fixed_statistics: keep those of the batch normalisation: a handful of frames would spoil them.
            progress: called with 1 after every batch.
        """
        rng, size = np.random.default_rng(seed), (self.image_size, self.image_size)
        loss = GroupedKeypointLoss(
            self.schema, image_size=size, lambda_group=0.5, lambda_keypoint=2.0, lambda_regression=0.05, heatmap_sigma=_SIGMA
        )
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=learning_rate, weight_decay=1e-4, fused=True)
        self.network.train()
        for module in self.network.modules():
            if fixed_statistics and isinstance(module, nn.BatchNorm2d):
                module.eval()
        batches = [_batches(len(part), count, iterations, rng) for part, count in zip(lessons, per_batch, strict=True)]
        for step in range(iterations):
            optimizer.param_groups[0]["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / iterations))
            images = torch.cat([part.images[b[step]] for part, b in zip(lessons, batches, strict=True)]).float()
            targets = torch.cat([part.targets[b[step]] for part, b in zip(lessons, batches, strict=True)])
            x, target = _vary(images, targets, self.schema.num_keypoints, rng)
            optimizer.zero_grad()
            loss(self.network(x.contiguous(memory_format=torch.channels_last)), target).backward()
            optimizer.step()
            if progress is not None:
                progress(1)

    def ask(self, frames: FrameArrays, *, batch_size: int = 64) -> FrameOutputs:
        """What it says of frames."""
        self.network.eval()
        images = torch.from_numpy(frames.images)
        parts = [images[i : i + batch_size].float() for i in range(0, len(frames), batch_size)]
        return FrameOutputs.join([network_outputs(self.network, p, codec=self.codec, rules=self.rules) for p in parts])


def _batches(number: int, size: int, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """``count`` batches of indices, every frame as often as any other."""
    passes = math.ceil(count * size / number)
    order = np.concatenate([rng.permutation(number) for _ in range(passes)])
    return [order[i * size : (i + 1) * size] for i in range(count)]


def _vary(x: Tensor, target: Tensor, points: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Move a batch (B, 1, s, s) by a few pixels and change contrast, brightness and noise frame by frame.

    A point that leaves the picture teaches nothing.
    """
    side = x.shape[-1]
    reach = max(1, round(_SHIFT * side))
    dx, dy = (int(d) for d in rng.integers(-reach, reach + 1, 2))
    padded = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    x = padded[..., reach - dy : reach - dy + side, reach - dx : reach - dx + side]
    target = target.clone()
    placed = target[..., STATE] == KeypointState.VISIBLE
    placed[:, points:] = False  # groups have no place
    moved = target[..., X : Y + 1] + torch.tensor([dx / side, dy / side])
    inside = ((moved >= 0) & (moved <= 1)).all(dim=-1)
    target[..., X : Y + 1] = torch.where((placed & inside)[..., None], moved, target[..., X : Y + 1])
    target[..., STATE] = torch.where(placed & ~inside, float(KeypointState.UNLABELLED), target[..., STATE])
    shape = (len(x), 1, 1, 1)
    gain, offset = rng.uniform(0.8, 1.25, shape), rng.uniform(-0.2, 0.2, shape)
    noise = rng.standard_normal(x.shape, dtype=np.float32) * rng.uniform(0, 0.15, shape).astype(np.float32)
    varied = x * torch.from_numpy(gain.astype(np.float32)) + torch.from_numpy(offset.astype(np.float32))
    return varied + torch.from_numpy(noise), target
