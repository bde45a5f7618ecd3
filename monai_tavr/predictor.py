"""One object from a cine to its keypoints: path or frames in, :class:`Keypoints` in native pixels out.

Frames are decoded in a thread while the network computes, a batch at a time: of the pixels two batches are in memory at once,
however long the cine (its file, or the caller's array, may be there whole). What is found is one small object per frame.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from monai_tavr import __version__
from monai_tavr.bundle import Bundle, sha256_of
from monai_tavr.cine import Cine
from monai_tavr.codec import KeypointCodec
from monai_tavr.devices import fastest_precision, select_device
from monai_tavr.keypoints import Keypoints, KeypointSchema
from monai_tavr.label import CineLabel, PointEdit
from monai_tavr.postprocess import KeypointPostprocess, Thresholds, allowed_groups_of, read_thresholds
from monai_tavr.transforms.framing import FrameFit, prepare_frames
from monai_tavr.typicality import FILE_NAME, describe_frames, read_typicality

__all__ = ["FramePrediction", "KeypointPredictor"]

Source = str | os.PathLike[str] | Cine | np.ndarray
Progress = Callable[[int, int], None]
_AS_BUILT: Any = object()  # "the groups given to the constructor", for None means "all groups"


@dataclass(frozen=True, eq=False)
class FramePrediction:
    """Everything the model says of one frame.

    Attributes:
        keypoints: the decision; its scores are the visibility probabilities.
        located: (K, 2) float32 native pixels, (x, y): where each point would be, absent ones too.
        spread: (K,) float32 doubt about the location in native pixels: the heat map's standard deviation beyond that of well
            located points (``spread_floor`` of the thresholds). Uncalibrated; 0 where the network has no heat map.
        group_probability: (G,) in [0, 1], that the group is present; calibrated where the model's thresholds say how.
        input_side: side of the network's input (root of its area) in native pixels.
        typical: whether the frame is of the kind that the model was made for; False: the model is not sure that this is a TAVR
            frame, whatever it found there. None where the model does not say (:mod:`monai_tavr.typicality`).
    """

    keypoints: Keypoints
    located: np.ndarray
    spread: np.ndarray
    group_probability: np.ndarray
    input_side: float
    typical: bool | None = None


class KeypointPredictor:
    """The model, ready to use; build it once and use it for many cines, from several threads if need be.

    Args:
        bundle: folder of the bundle; None = see :func:`monai_tavr.bundle.bundle_root`.
        weights: other weights than the bundle's.
        schema: another keypoint schema than the bundle's, by name, path or as it is; the weights must fit it.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``.
        batch_size: frames per forward pass.
        allowed_groups: groups that can be there; None = all.
        stage: the same by a stage of the procedure, one of the schema's; None = not stated.
        precision: ``fp32``; ``bf16`` (autocast: about twice as fast where the processor computes in it, and locations move by
            hundredths of a pixel); or ``auto``: see :func:`monai_tavr.devices.fastest_precision`. What people wait for is
            computed in ``auto``, figures that are written down in ``fp32``, so that they do not depend on the machine.
        postprocess: the decision rules; None = the bundle's thresholds, or 0.5 where it has none.

    Raises:
        FileNotFoundError: no bundle, or no weights.
        ValueError: the bundle, the weights or an argument is not valid.
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str] | None = None,
        *,
        weights: str | os.PathLike[str] | None = None,
        schema: str | os.PathLike[str] | KeypointSchema | None = None,
        device: str | torch.device = "auto",
        batch_size: int = 8,
        allowed_groups: Sequence[str] | None = None,
        stage: str | None = None,
        precision: str = "fp32",
        postprocess: KeypointPostprocess | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if precision not in ("auto", "fp32", "bf16"):
            raise ValueError(f"precision must be auto, fp32 or bf16, got {precision!r}")
        self.bundle, self.device, self.batch_size = Bundle.find(bundle), select_device(device), batch_size
        self.weights = self.bundle.weights if weights is None else Path(weights)
        network, self.schema, self.image_size = self.bundle.network(self.weights, schema=schema)
        self.network = network.to(self.device).to(memory_format=torch.channels_last)
        self.precision = fastest_precision(self.device) if precision == "auto" else precision
        self.weights_sha256 = sha256_of(self.weights)
        self._codec = KeypointCodec(self.schema, image_size=self.image_size)
        shipped = self._shipped_thresholds()
        self.spread_floor = shipped.spread_floor
        self.typicality = read_typicality(self.weights.with_name(FILE_NAME), weights_sha256=self.weights_sha256)
        rules = postprocess or KeypointPostprocess.from_thresholds(shipped, schema=self.schema)
        allowed = allowed_groups_of(self.schema, stage=stage, groups=allowed_groups)
        self.postprocess = rules if allowed is None else rules.with_groups(allowed)

    @property
    def version(self) -> str:
        """Version of the bundle."""
        return self.bundle.version

    @property
    def author(self) -> str:
        """How the model signs its points."""
        return f"monai-tavr {__version__} model {self.version} ({self.weights_sha256[:12]})"

    def _shipped_thresholds(self) -> Thresholds:
        # thresholds belong to the weights beside them; other weights start from 0.5 unless they bring their own
        path = self.weights.with_name("thresholds.json")
        return read_thresholds(path, schema=self.schema) if path.is_file() else Thresholds(self.schema.name, {})

    def predict(
        self,
        source: Source,
        *,
        frames: Sequence[int] | None = None,
        allowed_groups: Sequence[str] | None = _AS_BUILT,
        stage: str | None = None,
        progress: Progress | None = None,
    ) -> list[Keypoints]:
        """The keypoints of a cine.

        Args:
            source: path of a file or of a folder of single frames; a :class:`Cine`; or frames (F, H, W) or (H, W), grey.
            frames: 0-based indices, in the order wanted; None = all.
            allowed_groups: groups that can be there, instead of those stated when the predictor was built; None = all.
            stage: the same by a stage of the procedure, one of the schema's.
            progress: called with (frames done, frames in all) after every batch.

        Returns:
            One :class:`Keypoints` per frame, with the scores of all points.

        Raises:
            ValueError: the source cannot be read, a frame is not in it, or a group or stage is unknown.
        """
        found = self.stream(source, frames=frames, allowed_groups=allowed_groups, stage=stage, progress=progress)
        return [p.keypoints for p in found]

    def predict_label(
        self,
        source: str | os.PathLike[str] | Cine,
        *,
        frames: Sequence[int] | None = None,
        allowed_groups: Sequence[str] | None = _AS_BUILT,
        stage: str | None = None,
        progress: Progress | None = None,
    ) -> CineLabel:
        """The same as a label, ready for :func:`monai_tavr.formats.label_json.write_label_json`, signed by the model."""
        cine = source if isinstance(source, Cine) else _open(source)
        chosen = None if frames is None else sorted(set(frames))
        found = self.stream(cine, frames=chosen, allowed_groups=allowed_groups, stage=stage, progress=progress)
        return self.label(cine, list(found))

    def label(self, cine: Cine, predictions: Sequence[FramePrediction | Keypoints]) -> CineLabel:
        """Predictions of a cine as a label signed by the model. The same input and model give the same file: no time is noted.

        Args:
            cine: where they were made.
            predictions: of :meth:`stream`, whose spread is kept for the visible points, and whether the frame is typical; or of
                :meth:`predict`.
        """
        signature = PointEdit(source="model", author=self.author)
        names, frames = self.schema.names, []
        spread: dict[tuple[int, str], float] = {}
        typical: dict[int, bool] = {}
        for p in predictions:
            keypoints = p if isinstance(p, Keypoints) else p.keypoints
            frames.append(keypoints)
            if isinstance(p, FramePrediction):
                spread |= {(keypoints.frame, names[i]): float(p.spread[i]) for i in np.flatnonzero(keypoints.visible)}
                typical |= {} if p.typical is None else {keypoints.frame: p.typical}
        edits = {(k.frame, name): signature for k in frames for name in names}
        return CineLabel(image=cine.info.image_info, frames=tuple(frames), edits=edits, spread=spread, typical=typical)

    def stream(
        self,
        source: Source,
        *,
        frames: Sequence[int] | None = None,
        allowed_groups: Sequence[str] | None = _AS_BUILT,
        stage: str | None = None,
        progress: Progress | None = None,
    ) -> Iterator[FramePrediction]:
        """As :meth:`predict`, frame after frame as they come, with spread and group probabilities.

        Raises:
            ValueError: the source cannot be read, a frame is not in it, or a group is unknown.
        """
        rules = self.postprocess
        if stage is not None or allowed_groups is not _AS_BUILT:
            groups = None if allowed_groups is _AS_BUILT else allowed_groups
            rules = rules.with_groups(allowed_groups_of(self.schema, stage=stage, groups=groups))
        read, number, spacing = _reader(source)
        chosen = range(number) if frames is None else [int(f) for f in frames]
        for f in chosen:
            if not 0 <= f < number:
                raise ValueError(f"there is no frame {f}: the source has frames 0 to {number - 1}")
        return self._stream(read, chosen, spacing, rules, progress)

    def _stream(
        self,
        read: Callable[[Sequence[int]], np.ndarray],
        chosen: Sequence[int],
        spacing: tuple[float, float] | None,
        rules: KeypointPostprocess,
        progress: Progress | None,
    ) -> Iterator[FramePrediction]:
        batches = [chosen[i : i + self.batch_size] for i in range(0, len(chosen), self.batch_size)]
        done = 0
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode") as decoder:
            ahead = decoder.submit(read, batches[0]) if batches else None
            for n, indices in enumerate(batches):
                pixels = ahead.result()  # type: ignore[union-attr]
                ahead = decoder.submit(read, batches[n + 1]) if n + 1 < len(batches) else None
                yield from self._predict_batch(pixels, indices, spacing, rules)
                done += len(indices)
                if progress is not None:
                    progress(done, len(chosen))

    def _predict_batch(
        self, pixels: np.ndarray, indices: Sequence[int], spacing: tuple[float, float] | None, rules: KeypointPostprocess
    ) -> list[FramePrediction]:
        inputs, fit = self.prepare(pixels)
        output, figures = self._compute(inputs, with_figures=self.typicality is not None)
        shape = (int(pixels.shape[1]), int(pixels.shape[2]))
        found = self._interpret(output, fit, indices, shape, spacing, rules)
        if self.typicality is None or figures is None:
            return found
        typical = self.typicality.typical(figures)
        return [replace(p, typical=bool(t)) for p, t in zip(found, typical, strict=True)]

    def prepare(self, pixels: np.ndarray) -> tuple[torch.Tensor, FrameFit]:
        """The network's input, and how the frames lie in it.

        Args:
            pixels: (F, H, W) native frames, any grey scale.

        Returns:
            (F, 1, h, w) float32, normalised grey levels, and the fit.
        """
        with torch.inference_mode():
            inputs, fit = prepare_frames(pixels, image_size=self.image_size, device=self.device)
            return inputs.contiguous(memory_format=torch.channels_last), fit

    def compute(self, inputs: torch.Tensor) -> torch.Tensor:
        """The network's output.

        Args:
            inputs: (F, 1, h, w) of :meth:`prepare`, normalised.

        Returns:
            (F, K + G, 4) float32, normalised x and y, logit of visibility, spread; see :mod:`monai_tavr.codec`.
        """
        return self._compute(inputs)[0]

    def describe(self, pixels: np.ndarray) -> np.ndarray:
        """What is held against other frames to tell typical ones.

        Args:
            pixels: (F, H, W) native frames, any grey scale.

        Returns:
            (F, D) features of :func:`monai_tavr.typicality.describe_frames`.

        Raises:
            ValueError: the bundle's network does not give its features.
        """
        _, figures = self._compute(self.prepare(pixels)[0], with_figures=True)
        if figures is None:
            raise ValueError(
                f"{self.bundle.root}: its network, {type(self.network).__name__}, gives no features: it has no method "
                "'forward_with_features'"
            )
        return figures

    def _compute(self, inputs: torch.Tensor, *, with_figures: bool = False) -> tuple[torch.Tensor, np.ndarray | None]:
        """One forward pass: its output, and the figures of the frames where they are asked for and to be had."""
        forward: Any = getattr(self.network, "forward_with_features", None) if with_figures else None
        with torch.inference_mode(), self._autocast():
            output, pooled = (self.network(inputs), None) if forward is None else forward(inputs)
        with torch.inference_mode():
            return output.float(), None if pooled is None else describe_frames(inputs, pooled)

    def _interpret(
        self,
        output: torch.Tensor,
        fit: FrameFit,
        indices: Sequence[int],
        shape: tuple[int, int],
        spacing: tuple[float, float] | None,
        rules: KeypointPostprocess,
    ) -> list[FramePrediction]:
        xy, probability, group_probability, spread = (t.cpu().numpy() for t in self._codec.decode(output))
        located = fit.to_native(xy).astype(np.float32)
        pixel = float(np.sqrt(np.prod(fit.scale)))  # of the network's input, in native pixels
        side = pixel * float(np.sqrt(np.prod(self.image_size)))
        doubt = np.sqrt(np.maximum((spread * pixel) ** 2 - (self.spread_floor * side) ** 2, 0)).astype(np.float32)
        presence = rules.presence(group_probability)
        return [
            FramePrediction(
                rules(located[b], probability[b], group_probability[b], frame=index, spacing=spacing, image_shape=shape),
                located[b],
                doubt[b],
                presence[b],
                side,
            )
            for b, index in enumerate(indices)
        ]

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, dtype=torch.bfloat16) if self.precision == "bf16" else nullcontext()


def _open(path: str | os.PathLike[str]) -> Cine:
    from monai_tavr.dicom import open_cine  # pydicom is not needed for arrays

    return open_cine(path)


def _reader(source: Source) -> tuple[Callable[[Sequence[int]], np.ndarray], int, tuple[float, float] | None]:
    """(frame indices -> (F, H, W)), number of frames, spacing."""
    if isinstance(source, np.ndarray):
        stack = source[None] if source.ndim == 2 else source
        if stack.ndim != 3 or 0 in stack.shape:
            raise ValueError(f"frames must be an array (F, H, W) or (H, W) and not empty, got shape {source.shape}")
        return (lambda indices: stack[list(indices)].astype(np.float32)), len(stack), None
    cine = source if isinstance(source, Cine) else _open(source)
    return cine.frames, len(cine), cine.info.spacing
