"""The file of :class:`monai_tavr.plausibility.statistics.PoseStatistics`: small, and readable by people."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from monai_tavr.files import write_json_atomically
from monai_tavr.formats.checks import listing, mapping, number, parse_json, shown, text
from monai_tavr.plausibility.statistics import GAPS, ChainStatistics, PoseStatistics, SetStatistics, Spread

__all__ = ["read_statistics", "shipped_statistics", "write_statistics"]

_ID = "monai-tavr/poses/1"


@lru_cache(maxsize=1)
def shipped_statistics() -> PoseStatistics:
    """Those of the package: of phantoms, for the points of TAVR11."""
    file = resources.files("monai_tavr") / "plausibility" / "phantom_poses.json"
    return _from_json(file.read_bytes(), str(file))


def read_statistics(path: str | os.PathLike[str]) -> PoseStatistics:
    """Read a file that ``monai-tavr labels fit`` wrote. Raises ValueError naming the file and the fault."""
    return _from_json(Path(path).read_bytes(), str(path))


def write_statistics(path: str | os.PathLike[str], statistics: PoseStatistics) -> None:
    """Write the file, atomically."""
    content = {
        "schema": _ID,
        "fitted_on": statistics.fitted_on,
        "noise": statistics.noise,
        "model": statistics.model,
        "chains": [_chain_to_dict(c) for c in statistics.chains],
        "sets": [_set_to_dict(s) for s in statistics.sets],
    }
    write_json_atomically(path, content, indent=None)


def _set_to_dict(known: SetStatistics) -> dict[str, Any]:
    return {
        "points": list(known.points),
        "mean": [_rounded(v) for v in known.mean.reshape(-1)],
        "pose": _spread_to_dict(known.pose),
        "between": [None if s is None else _spread_to_dict(s) for s in known.between],
        "beside": [None if s is None else _spread_to_dict(s) for s in known.beside],
    }


def _spread_to_dict(spread: Spread) -> dict[str, Any]:
    upper = spread.covariance[np.triu_indices(len(spread.covariance))]
    limits = {"together": round(spread.together, 3)} | ({} if spread.alone is None else {"alone": round(spread.alone, 3)})
    return limits | {"covariance": [_rounded(v) for v in upper]}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _from_json(content: bytes, where: str) -> PoseStatistics:
    known = {"schema", "fitted_on", "noise", "model", "chains", "sets"}
    top = mapping(parse_json(content, where=where), where, known=known, required=known)
    if top["schema"] != _ID:
        raise ValueError(f"{where}: 'schema' is {shown(top['schema'])}; this version reads {_ID!r}")
    return PoseStatistics(
        sets=tuple(_set_from_dict(s, f"{where}: sets[{n}]") for n, s in enumerate(listing(top["sets"], f"{where}: sets"))),
        chains=tuple(
            _chain_from_dict(c, f"{where}: chains[{n}]") for n, c in enumerate(listing(top["chains"], f"{where}: chains"))
        ),
        noise=number(top["noise"], f"{where}: noise", positive=True),
        model=number(top["model"], f"{where}: model", positive=True),
        fitted_on=text(top["fitted_on"], f"{where}: fitted_on"),
    )


def _chain_to_dict(chain: ChainStatistics) -> dict[str, Any]:
    parts = [[round(v, 4) for v in pair] for pair in chain.parts]
    ends = {"direction": round(chain.direction, 1), "within": round(chain.within, 1)}
    return {"points": list(chain.points), "parts": parts} | ends


def _chain_from_dict(content: Any, where: str) -> ChainStatistics:
    known = {"points", "parts", "direction", "within"}
    content = mapping(content, where, known=known, required=known)
    points = tuple(text(n, f"{where}.points") for n in listing(content["points"], f"{where}.points"))
    parts = tuple(_pair(p, f"{where}.parts") for p in listing(content["parts"], f"{where}.parts", length=len(points) - 1))
    direction, within = (number(content[key], f"{where}.{key}") for key in ("direction", "within"))
    return ChainStatistics(points, parts, direction, within)


def _pair(content: Any, where: str) -> tuple[float, float]:
    low, high = (number(v, where) for v in listing(content, where, length=2))
    return low, high


def _set_from_dict(content: Any, where: str) -> SetStatistics:
    known = {"points", "mean", "pose", "between", "beside"}
    content = mapping(content, where, known=known, required=known)
    points = tuple(text(n, f"{where}.points") for n in listing(content["points"], f"{where}.points"))
    mean = [number(v, f"{where}.mean") for v in listing(content["mean"], f"{where}.mean", length=2 * len(points))]
    steps = {
        kind: tuple(
            None if s is None else _spread_from_dict(s, len(points), f"{where}.{kind}[{n}]")
            for n, s in enumerate(listing(content[kind], f"{where}.{kind}", length=len(GAPS)))
        )
        for kind in ("between", "beside")
    }
    return SetStatistics(
        points, np.array(mean).reshape(-1, 2), _spread_from_dict(content["pose"], len(points), f"{where}.pose"), **steps
    )


def _spread_from_dict(content: Any, points: int, where: str) -> Spread:
    content = mapping(content, where, known={"together", "alone", "covariance"}, required={"together", "covariance"})
    rows, columns = np.triu_indices(2 * points)
    upper = [number(v, where) for v in listing(content["covariance"], f"{where}.covariance", length=len(rows))]
    covariance = np.zeros((2 * points, 2 * points))
    covariance[rows, columns] = covariance[columns, rows] = upper
    if np.linalg.eigvalsh(covariance)[0] < -1e-3 * max(np.trace(covariance), 1e-12):
        raise ValueError(f"{where}: 'covariance' is none: it has a negative variance")
    alone = number(content["alone"], f"{where}.alone", positive=True) if "alone" in content else None
    return Spread(covariance, number(content["together"], f"{where}.together", positive=True), alone)
