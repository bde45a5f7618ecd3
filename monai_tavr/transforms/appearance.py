"""Random X-ray appearance: what differs between rooms, doses, display settings and vendors.

After the domain randomisation of SyntheX (Gao et al., Nature Machine Intelligence 2023). Gamma, blur, sharpening, pooling,
dropout and geometry come from MONAI; here is what MONAI lacks. All work on grey levels of [0, 1] as :func:`fit_frames` makes
them, each drawing apart from applying: ``randomize`` sets ``drawn``, and ``__call__(..., randomize=False)`` replays it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import convert_to_dst_type, convert_to_numpy

from monai_tavr.transforms.points import FIELD

__all__ = [
    "RandBackgroundd",
    "RandCollimatord",
    "RandQuantumNoised",
    "RandWindowd",
    "add_quantum_noise",
    "collimate",
    "subtract_background",
    "window",
]


def add_quantum_noise(image: np.ndarray, *, strength: float, blur: float, seed: int) -> np.ndarray:
    """Poisson-like noise, correlated as a scintillator's blur leaves it.

    Args:
        image: (H, W) float32 grey levels in [0, 1].
        strength: standard deviation at grey level 1; it falls with the root of the grey level.
        blur: sigma of the correlation in pixels.
        seed: of the noise.

    Returns:
        (H, W) float32 grey levels; noise may leave [0, 1].
    """
    noise = np.random.default_rng(seed).standard_normal(image.shape, dtype=np.float32)
    if blur > 0:
        noise = cv2.GaussianBlur(noise, (0, 0), blur)
        noise /= noise.std()
    return image + strength * np.sqrt(np.clip(image, 0.02, None)) * noise


def subtract_background(image: np.ndarray, *, amount: float, sigma: float) -> np.ndarray:
    """Remove (``amount`` > 0) or boost (< 0) what is smooth: displays compress the range by a low-pass of their own.

    Args:
        image: (H, W) float32 grey levels in [0, 1].
        amount: share of the low-pass that goes; its mean stays.
        sigma: of the low-pass in pixels.

    Returns:
        (H, W) float32 grey levels; they may leave [0, 1].
    """
    height, width = image.shape
    factor = max(1, int(sigma // 3))  # the low-pass holds nothing that the small picture lacks
    small = cv2.resize(image, (max(1, width // factor), max(1, height // factor)), interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / factor), (width, height), interpolation=cv2.INTER_LINEAR)
    return image - amount * (smooth - smooth.mean())


def window(image: np.ndarray, *, low: float, high: float, soft: bool) -> np.ndarray:
    """Spread the grey levels between ``low`` and ``high`` over [0, 1].

    Args:
        image: (H, W) float32 grey levels.
        low: what becomes black.
        high: what becomes white.
        soft: cut off softly (DICOM's VOI LUT function SIGMOID) instead of linearly (LINEAR).

    Returns:
        (H, W) float32 grey levels in [0, 1].
    """
    scaled = (image - low) / (high - low)
    return 1 / (1 + np.exp(2 - 4 * scaled)) if soft else np.clip(scaled, 0, 1)


def collimate(image: np.ndarray, *, field: Sequence[int], level: float, blur: float) -> np.ndarray:
    """Blades with a blurred edge around a field.

    Args:
        image: (H, W) float32 grey levels in [0, 1].
        field: (row0, column0, row1, column1), ends excluded, of the pixels that stay.
        level: grey level of the blades.
        blur: sigma of their edge in pixels.

    Returns:
        (H, W) float32 grey levels in [0, 1].
    """
    row0, column0, row1, column1 = field
    rows = _edge_profile(image.shape[0], row0, row1, blur)
    columns = _edge_profile(image.shape[1], column0, column1, blur)
    return level + (image - level) * rows[:, None] * columns


def _edge_profile(length: int, start: int, stop: int, blur: float) -> np.ndarray:
    """(length,) float32: 1 inside [start, stop), 0 outside, blurred; the image's own border is no blade."""
    profile = np.zeros((1, length), np.float32)
    profile[:, start:stop] = 1
    return cv2.GaussianBlur(profile, (0, 0), blur, borderType=cv2.BORDER_REPLICATE)[0]


class _RandFramed(RandomizableTransform, MapTransform):
    """Draws once per item and applies to every channel of every key."""

    def __init__(self, keys: KeysCollection, *, prob: float) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.drawn: dict[str, Any] = {}

    def randomize(self, data: tuple[int, int]) -> None:
        """``data`` is (H, W) of the image."""
        super().randomize(None)
        self.drawn = self.draw(*data) if self._do_transform else {}

    @abstractmethod
    def draw(self, height: int, width: int) -> dict[str, Any]:
        """The arguments of :meth:`apply`."""

    @abstractmethod
    def apply(self, image: np.ndarray, **drawn: Any) -> np.ndarray:
        """``image`` (H, W) float32 grey levels in [0, 1], changed."""

    def __call__(self, data: Mapping[Hashable, Any], randomize: bool = True) -> dict[Hashable, Any]:
        item = dict(data)
        if randomize:
            self.randomize(tuple(item[self.keys[0]].shape[-2:]))
        if not self._do_transform:
            return item
        for key in self.key_iterator(item):
            image = item[key]
            changed = [self.apply(channel, **self.drawn) for channel in convert_to_numpy(image)]
            item[key] = convert_to_dst_type(np.stack(changed), dst=image, dtype=torch.float32)[0]
        return item

    def uniform(self, bounds: Sequence[float]) -> float:
        """A number between the two bounds."""
        return float(self.R.uniform(*bounds))


class RandQuantumNoised(_RandFramed):
    """:func:`add_quantum_noise` with ``strength`` and ``blur`` drawn from ranges."""

    def __init__(
        self,
        keys: KeysCollection,
        *,
        strength: Sequence[float] = (0.01, 0.08),
        blur: Sequence[float] = (0.0, 1.0),
        prob: float = 0.5,
    ) -> None:
        super().__init__(keys, prob=prob)
        self.strength, self.blur = strength, blur

    def draw(self, height: int, width: int) -> dict[str, Any]:
        """``strength``, ``blur`` and ``seed`` of :func:`add_quantum_noise`."""
        seed = int(self.R.randint(2**31))
        return {"strength": self.uniform(self.strength), "blur": self.uniform(self.blur), "seed": seed}

    def apply(self, image: np.ndarray, **drawn: Any) -> np.ndarray:
        """:func:`add_quantum_noise` of ``image`` (H, W), grey levels in [0, 1], to the same."""
        return add_quantum_noise(image, **drawn)


class RandBackgroundd(_RandFramed):
    """:func:`subtract_background` with ``amount`` and ``sigma`` (share of the image height) drawn from ranges."""

    def __init__(
        self,
        keys: KeysCollection,
        *,
        amount: Sequence[float] = (-0.4, 0.9),
        sigma: Sequence[float] = (0.06, 0.2),
        prob: float = 0.3,
    ) -> None:
        super().__init__(keys, prob=prob)
        self.amount, self.sigma = amount, sigma

    def draw(self, height: int, width: int) -> dict[str, Any]:
        """``amount``, and ``sigma`` in pixels, of :func:`subtract_background`."""
        return {"amount": self.uniform(self.amount), "sigma": self.uniform(self.sigma) * height}

    def apply(self, image: np.ndarray, **drawn: Any) -> np.ndarray:
        """:func:`subtract_background` of ``image`` (H, W), grey levels in [0, 1], to the same."""
        return subtract_background(image, **drawn)


class RandWindowd(_RandFramed):
    """:func:`window` with ``low`` and ``high`` drawn from ranges, half of the time with a soft cut.

    Raises:
        ValueError: the ranges of ``low`` and ``high`` overlap.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        low: Sequence[float] = (-0.2, 0.25),
        high: Sequence[float] = (0.75, 1.3),
        prob: float = 0.3,
    ) -> None:
        if max(low) >= min(high):
            raise ValueError(f"the range of low {tuple(low)} must lie below the range of high {tuple(high)}")
        super().__init__(keys, prob=prob)
        self.low, self.high = low, high

    def draw(self, height: int, width: int) -> dict[str, Any]:
        """``low``, ``high`` and ``soft`` of :func:`window`."""
        return {"low": self.uniform(self.low), "high": self.uniform(self.high), "soft": bool(self.R.rand() < 0.5)}

    def apply(self, image: np.ndarray, **drawn: Any) -> np.ndarray:
        """:func:`window` of ``image`` (H, W), grey levels in [0, 1], to the same."""
        return window(image, **drawn)


class RandCollimatord(_RandFramed):
    """:func:`collimate` on one to four sides. Put it after the last spatial transform.

    It notes the open field in the image's meta data, so that ``EncodeKeypointsd`` makes points behind the blades absent.

    Args:
        keys: images (C, H, W) in [0, 1].
        depth: smallest and largest share of the image that one blade covers.
        prob: how often.
    """

    def __init__(self, keys: KeysCollection, *, depth: Sequence[float] = (0.02, 0.15), prob: float = 0.15) -> None:
        super().__init__(keys, prob=prob)
        self.depth = depth

    def draw(self, height: int, width: int) -> dict[str, Any]:
        """``field``, ``level`` and ``blur`` of :func:`collimate`."""
        sides = self.R.permutation(4)[: self.R.randint(1, 5)]
        top, left, bottom, right = (self.uniform(self.depth) if side in sides else 0.0 for side in range(4))
        field = (round(top * height), round(left * width), height - round(bottom * height), width - round(right * width))
        return {"field": field, "level": self.uniform((0.0, 0.15)), "blur": self.uniform((0.4, 2.5))}

    def apply(self, image: np.ndarray, **drawn: Any) -> np.ndarray:
        """:func:`collimate` of ``image`` (H, W), grey levels in [0, 1], to the same."""
        return collimate(image, **drawn)

    def __call__(self, data: Mapping[Hashable, Any], randomize: bool = True) -> dict[Hashable, Any]:
        item = super().__call__(data, randomize)
        if self._do_transform:
            for key in self.key_iterator(item):
                item[key].meta[FIELD] = self.drawn["field"]
        return item
