"""What a model invents on frames that are known to show no device: how often, which group, and whether it had its doubts.

Frames of one patient are alike, and whose frame is whose is mostly not known of such collections: the intervals (Wilson 1927)
take frames for independent, and are too narrow where they are not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from monai_tavr.evaluation.frames import EvaluatedFrame
from monai_tavr.keypoints import KeypointState

__all__ = ["alarm_report", "alarm_table", "flags", "loudness", "share_of", "wilson_interval"]

_Z = 1.959964  # of a standard normal: 95 %
_FLAGS = {"flagged": "flagged as not typical", "harmless": "no device, or flagged"}


def wilson_interval(number: int, n: int) -> tuple[float, float]:
    """95 % interval of a share, ``number`` of ``n`` (Wilson 1927), right for rare things too. Raises ValueError for no share."""
    if not 0 <= number <= n or n == 0:
        raise ValueError(f"{number} of {n} is no share")
    p, z2 = number / n, _Z**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    return 0.0 if number == 0 else middle - half, 1.0 if number == n else middle + half  # exact at the ends


def _invented(frame: EvaluatedFrame) -> np.ndarray:
    """(G,) bool: groups that are reported and absent in truth."""
    absent = frame.truth.group_state == KeypointState.ABSENT
    return absent & (frame.prediction.group_state == KeypointState.VISIBLE)


def loudness(frame: EvaluatedFrame) -> float:
    """How bad the false alarm of a frame is: number of groups invented, plus the highest presence of a group that is absent."""
    absent = frame.truth.group_state == KeypointState.ABSENT
    presence = frame.model.group_probability if frame.model is not None else np.zeros(len(absent))
    return float(_invented(frame).sum() + np.max(presence[absent], initial=0.0))


def alarm_report(frames: Sequence[EvaluatedFrame]) -> dict[str, Any]:
    """Shares of frames, each as ``{"frames", "share", "interval_95"}``.

    Args:
        frames: whose truth says which groups are absent.

    Returns:
        ``n_frames``; ``any_group`` invented; the same of each group under ``per_group``. Where the model says which frames are
        typical: ``flagged``, and ``harmless``, without an invented group or flagged.

    Raises:
        ValueError: no frames.
    """
    if not frames:
        raise ValueError("no frames to look for false alarms on")
    invented = np.stack([_invented(f) for f in frames])
    absent = np.stack([f.truth.group_state == KeypointState.ABSENT for f in frames]).any(axis=0)
    names = frames[0].truth.schema.group_names
    report = {
        "n_frames": len(frames),
        "any_group": share_of(invented.any(axis=1)),
        "per_group": {name: share_of(invented[:, g]) for g, name in enumerate(names) if absent[g]},
    }
    flagged = flags(frames)
    if flagged is not None:
        report |= {"flagged": share_of(flagged), "harmless": share_of(flagged | ~invented.any(axis=1))}
    return report


def flags(frames: Sequence[EvaluatedFrame]) -> np.ndarray | None:
    """(N,) bool: frames of which the model is not sure that they are its kind; None where it does not say."""
    said = [None if f.model is None else f.model.typical for f in frames]
    return None if None in said else ~np.array(said, bool)


def share_of(which: np.ndarray) -> dict[str, Any]:
    """How many of ``which`` (N,) bool, as ``{"frames", "share", "interval_95"}``."""
    number, n = int(which.sum()), len(which)
    return {"frames": number, "share": number / n, "interval_95": list(wilson_interval(number, n))}


def alarm_table(report: dict[str, Any]) -> str:
    """The report in lines for people."""
    rows = {"any device group": report["any_group"], **{f"  {name}": part for name, part in report["per_group"].items()}}
    rows |= {words: report[name] for name, words in _FLAGS.items() if name in report}
    lines = [f"{report['n_frames']} frames without a device"]
    for name, part in rows.items():
        low, high = part["interval_95"]
        lines.append(f"{name:26s}{part['frames']:6d}  {part['share']:7.2%}  (95 % interval {low:.2%} to {high:.2%})")
    return "\n".join(lines)
