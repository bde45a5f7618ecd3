"""Independent streams of random numbers that depend on their place in the tree of seeds and on nothing else.

`SeedSequence.spawn` counts its calls, so the same call gives another child the second time; a child named by number does not.
"""

from __future__ import annotations

import numpy as np

__all__ = ["child_seed", "root_seed"]


def root_seed(name: str, *numbers: int) -> np.random.SeedSequence:
    """The seed of ``name`` and ``numbers`` (not negative)."""
    return np.random.SeedSequence([len(name), *name.encode(), *numbers])


def child_seed(seed: np.random.SeedSequence, index: int) -> np.random.SeedSequence:
    """Child number ``index``, the same at every call."""
    return np.random.SeedSequence(entropy=seed.entropy, spawn_key=(*seed.spawn_key, index))
