"""Whether a frame is of the kind that the model was made for: a TAVR angiogram, and no hand, screen, noise or other examination.

A network answers on anything. What its backbone found on a frame, averaged over the frame, with a few figures of its grey levels,
says whether the answer means something. It is held against what such figures look like on angiograms: by Mahalanobis' distance
(Lee 2018, arXiv:1807.03888) with a covariance of few axes and one rest (probabilistic principal components, Tipping and Bishop
1999), and by linear probes for what is known to be something else. The forward pass finds all of it anyway. The figures belong
to the weights that they were fitted with (:mod:`monai_tavr.evaluation.typicality`).
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monai_tavr.files import replacing

__all__ = ["FILE_NAME", "Typicality", "describe_frames", "read_typicality"]

FILE_NAME = "typical.npz"
"""Name of the file beside the weights."""
_SCALES = 6  # of the grey-level pyramid: details of 1 to 32 pixels of the network's input
_LARGEST_FILE = 16 << 20


def describe_frames(inputs: Tensor, pooled: Tensor) -> np.ndarray:
    """The figures of frames.

    Args:
        inputs: (B, 1, h, w) normalised grey levels, the network's input.
        pooled: (B, C) features: the backbone's deepest map, averaged over the frame.

    Returns:
        (B, C + S) float32: signed square roots of ``pooled``, which has a long tail, then S grey-level figures: how much detail
        there is at each scale, how lopsided and heavy-tailed grey levels are, how many pixels are as dark or bright as can be.
    """
    features = pooled.float()
    return torch.cat([features.sign() * features.abs().sqrt(), _grey_figures(inputs.float())], dim=1).cpu().numpy()


def _grey_figures(x: Tensor) -> Tensor:
    figures, level, power = [], x, _mean_square(x)
    for _ in range(_SCALES):
        # what halving takes away from the mean square is the variance within blocks of 2 x 2
        level, finer = _halved(level), power
        power = _mean_square(level)
        figures.append((finer - power).clamp_min(0).add(1e-6).log())
    some = x[..., ::3, ::3].flatten(1)  # a ninth of the pixels tells as much
    square = some * some
    figures += [(square * some).mean(dim=1).clamp(-8, 8), (square * square).mean(dim=1).clamp(0, 60).add(1).log()]
    flat = x.flatten(1)
    for extreme in (flat.amin(dim=1, keepdim=True), flat.amax(dim=1, keepdim=True)):
        figures.append((some == extreme).float().mean(dim=1).sqrt())
    return torch.stack(figures, dim=1)


def _mean_square(x: Tensor) -> Tensor:
    """(B,) of ``x`` (B, 1, h, w), without a copy of it."""
    return torch.linalg.vector_norm(x.flatten(1), dim=1).square() / x[0].numel()


def _halved(x: Tensor) -> Tensor:
    """Means of blocks of 2 x 2 of ``x`` (B, 1, h, w), an odd last row or column left out; what is one pixel thin stays."""
    h, w = x.shape[-2] // 2 * 2, x.shape[-1] // 2 * 2
    if h == 0 or w == 0:
        return x
    rows = x[..., :h:2, :w] + x[..., 1:h:2, :w]
    return (rows[..., ::2] + rows[..., 1::2]) / 4


@dataclass(frozen=True, eq=False)
class Typicality:
    """What the figures of :func:`describe_frames` look like on angiograms, and where doubt begins.

    Attributes:
        centre: (D,) mean of the features on angiograms.
        scale: (D,) their standard deviations there.
        axes: (P, D) orthonormal directions of the standardised features along which angiograms differ most.
        variances: (P,) along those directions, in squared standard deviations.
        rest: variance along any other axis.
        furthest: distance beyond which a frame is no angiogram; see :meth:`distance`.
        probes: (R, D + 1) coefficients of the standardised figures, and an offset: logits of being something else.
        limits: (R,) logits beyond which a frame is that.
        weights_sha256: of the weights it was fitted with.
        fitted_on: which data, in words.

    Raises:
        ValueError: shapes do not fit, or a number is not finite or not positive where it must be.
    """

    centre: np.ndarray
    scale: np.ndarray
    axes: np.ndarray
    variances: np.ndarray
    rest: float
    furthest: float
    probes: np.ndarray
    limits: np.ndarray
    weights_sha256: str
    fitted_on: str = ""

    def __post_init__(self) -> None:
        shapes = {name: np.shape(getattr(self, name)) for name in ("centre", "scale", "axes", "variances", "probes", "limits")}
        axes, probes = len(np.atleast_1d(self.variances)), len(np.atleast_1d(self.limits))
        d = np.size(self.centre)
        wanted = {
            "centre": (d,),
            "scale": (d,),
            "axes": (axes, d),
            "variances": (axes,),
            "probes": (probes, d + 1),
            "limits": (probes,),
        }
        for name, shape in wanted.items():
            if shapes[name] != shape:
                raise ValueError(f"{name} has shape {shapes[name]}, expected {shape}")
        for name in (*wanted, "rest", "furthest"):
            values = np.asarray(getattr(self, name))
            if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
                raise ValueError(f"{name} holds something that is no finite number")
            if name in ("scale", "variances", "rest") and not (values > 0).all():
                raise ValueError(f"{name} must be above 0")

    def distance(self, figures: np.ndarray) -> np.ndarray:
        """How far frames are from angiograms.

        Args:
            figures: (N, D) features of :func:`describe_frames`.

        Returns:
            (N,) root of the mean squared distance per figure in standard deviations: about 1 on angiograms.
        """
        z = self._standardised(figures)
        along = z @ self.axes.T
        beyond = np.maximum((z**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        return np.asarray(np.sqrt(((along**2 / self.variances).sum(axis=1) + beyond / self.rest) / z.shape[1]))

    def logits(self, figures: np.ndarray) -> np.ndarray:
        """(N, R) logits of the probes, of ``figures`` (N, D), the features of :func:`describe_frames`."""
        return np.asarray(self._standardised(figures) @ self.probes[:, :-1].T + self.probes[:, -1])

    def typical(self, figures: np.ndarray) -> np.ndarray:
        """(N,) bool: frames of the model's kind, by their ``figures`` (N, D), the features of :func:`describe_frames`."""
        return np.asarray((self.distance(figures) <= self.furthest) & (self.logits(figures) <= self.limits).all(axis=1))

    @property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of the numbers: what predictions that are kept depend on."""
        digest = hashlib.sha256()
        for name in _ARRAYS:
            digest.update(np.asarray(getattr(self, name), np.float64).tobytes())
        return digest.hexdigest()

    def _standardised(self, figures: np.ndarray) -> np.ndarray:
        figures = np.asarray(figures, float)
        if figures.ndim != 2 or figures.shape[1] != len(self.centre):
            raise ValueError(f"figures have shape {figures.shape}; this was fitted on (N, {len(self.centre)})")
        return (figures - self.centre) / self.scale

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write ``typical.npz``, which lies beside the weights: arrays and text, nothing that runs."""
        words = json.dumps({"weights_sha256": self.weights_sha256, "fitted_on": self.fitted_on})
        with replacing(path) as stream:
            np.savez_compressed(stream, about=np.array(words), **{name: np.asarray(getattr(self, name)) for name in _ARRAYS})


_ARRAYS = tuple(f.name for f in fields(Typicality) if f.name not in ("weights_sha256", "fitted_on"))


def read_typicality(path: str | os.PathLike[str], *, weights_sha256: str) -> Typicality | None:
    """Read ``typical.npz``; None where there is no such file, or it belongs to other weights.

    Raises:
        ValueError: the file is damaged; names it.
    """
    file = Path(path)
    if not file.is_file():
        return None
    try:
        found = _read(file)
    except (ValueError, KeyError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file}: not what `monai-tavr typical` writes ({error}); fit it anew or delete it") from error
    return found if found.weights_sha256 == weights_sha256 else None


def _read(file: Path) -> Typicality:
    with zipfile.ZipFile(file) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > _LARGEST_FILE:
            raise ValueError(f"it holds more than {_LARGEST_FILE >> 20} MiB")
    with np.load(file, allow_pickle=False) as content:
        about = json.loads(str(content["about"]))
        values: dict[str, Any] = {name: content[name] for name in _ARRAYS}
    if not isinstance(about, dict) or not isinstance(about.get("weights_sha256"), str):
        raise ValueError("it does not say whose it is")
    values |= {name: float(values[name]) for name in ("rest", "furthest")}
    return Typicality(**values, weights_sha256=about["weights_sha256"], fitted_on=str(about.get("fitted_on", "")))
