"""The injection of contrast during a run: when it arrives, how far it reaches, when it has washed out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from monai_tavr.phantom.contrast import ContrastState

__all__ = ["sample_injection", "selective_injection"]


def sample_injection(
    frames: int, rng: np.random.Generator, *, present: bool, obstructed: bool, whole: bool
) -> tuple[ContrastState, ...]:
    """F states: an injection that arrives, fills the root and washes out, or a trace that marks no outline.

    ``whole`` = the cine begins without contrast and shows the injection to its end.
    """
    t = np.arange(frames, dtype=float)
    arrival = rng.uniform(-10, 0.45 * frames) if rng.uniform() < 0.75 else -50.0
    end = arrival + rng.uniform(8, 26) if arrival > -50 else 1e3
    if whole:
        arrival, end = rng.uniform(0.08, 0.2) * frames, rng.uniform(0.8, 1.2) * frames
    rise = 1 / (1 + np.exp(-(t - arrival) / 0.5))
    wash = 1 / (1 + np.exp((t - end) / 0.7))
    peak = rng.uniform(0.95, 1.55)
    trace = rng.uniform(0, 0.03)
    filling = np.maximum(peak * rise * wash, trace) if present else np.full(frames, trace * (rng.uniform() < 0.5))
    since = np.clip(t - arrival, 0, 12) if arrival > -50 else np.full(frames, 12.0)
    fade = rng.uniform(18, 45) + rng.uniform(1, 5) * since
    base = ContrastState(
        fade_width=rng.uniform(0.06, 0.22),
        lv_filling=rng.uniform(0.15, 1.0) if rng.uniform() < 0.6 else 0.0,
        coronary_filling=rng.uniform(0.5, 1.6) if rng.uniform() < 0.85 else 0.0,
        sinus_pooling=(rng.uniform(0, 0.8), rng.uniform(0, 0.8), rng.uniform(0, 0.8)),
        valve_closed=rng.uniform(0.3, 0.8) if obstructed else 1.0,
        mixing=rng.uniform(0.1, 1.0),
        saturation_mm=rng.uniform(18, 34),
    )
    delay = rng.uniform(0.15, 0.35)
    return tuple(
        replace(base, filling=float(f), fade_mm=float(h), coronary_reach=float(np.clip(s * delay, 0, 1)))
        for f, h, s in zip(filling, fade, since, strict=True)
    )


def selective_injection(states: tuple[ContrastState, ...], sinus: int, rng: np.random.Generator) -> tuple[ContrastState, ...]:
    """The same injection through a catheter in the coronary of a sinus, 0 left or 2 right; a little may flow back."""
    share = rng.uniform(0.01, 0.15) if rng.uniform() < 0.3 else 0.0
    pools = [rng.uniform(0, 0.15) * (j == sinus and share > 0) for j in range(3)]
    return tuple(
        replace(
            state,
            root_share=share,
            selective=sinus,
            sinus_pooling=(pools[0], pools[1], pools[2]),
            lv_filling=0.0,
            coronary_filling=1.0,
        )
        for state in states
    )
