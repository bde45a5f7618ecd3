"""Damages JSON files in every way that can be thought of, reads them, and counts what is raised beside ValueError.

    PYTHONPATH=tests python tests/json_mutations.py --count 15000

A mutant is known by the name of its file and its seed, so that what was found once is found again.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from label_app.lib.auth.tokens import TokenFile
from monai_tavr.active_learning.uncertainty import PointUncertainty, read_uncertainty
from monai_tavr.bundle import Bundle
from monai_tavr.formats.label_json import read_label_json, write_label_json
from monai_tavr.keypoints import TAVR11, Keypoints
from monai_tavr.label import CineLabel, ImageInfo, PointEdit, Revision
from monai_tavr.postprocess import Thresholds, read_thresholds, write_thresholds
from monai_tavr.training.datasets import load_datalist

_LONG = int("9" * 100)  # no float holds a number of 400 digits, and no 64-bit integer one of 100
_ODD: list[Any] = [
    *[None, True, False, 0, -1, 1.5, 1e308, _LONG, -_LONG, 10**400, "", "AA1", "\0", "../..", "x" * 3000],
    *[[], {}, [1], [[]], {"x": 1}, float("nan"), float("inf")],
]
_DEEP = 5000


def originals(folder: Path) -> dict[str, tuple[bytes, Callable[[Path], object]]]:
    """Name -> sound content, and its reader."""
    label = folder / "label.json"
    points = Keypoints.from_points(TAVR11, {"AA1": (1.5, 2), "AA2": None}, frame=1)
    edits = {(1, "AA1"): PointEdit("annotator", author="ann", time="2026-01-31T12:00:00+00:00")}
    image = ImageInfo(rows=64, columns=64, number_of_frames=3, spacing=(0.3, 0.3), sop_instance_uid="1.2.3")
    revision = Revision(number=1, author="ann", time="2026-01-31T12:00:00+00:00", base=0)
    write_label_json(
        label,
        CineLabel(image=image, frames=(points,), edits=edits, spread={(1, "AA1"): 1.5}, revision=revision, typical={1: False}),
    )
    thresholds, uncertainty, tokens = (folder / f"{name}.json" for name in ("thresholds", "uncertainty", "tokens"))
    write_thresholds(thresholds, Thresholds("TAVR11", {"AA1": 0.4}, {"contour": 0.3}, 0.01, "words"))
    PointUncertainty(weights_sha256="a" * 64, fitted_on="words", points=5, ece=0.1).write(uncertainty)
    TokenFile(tokens).add("ann", role="annotator")
    item = {"image": "a.dcm", "label": "a.json", "patient": "P0", "frame": 1}
    datalist = json.dumps({"training": [item, {**item, "frame": 2}], "validation": [{**item, "patient": "P1"}]}).encode()
    metadata = json.dumps({"version": "1.0", "network_data_format": {"inputs": {}}}).encode()

    def version(path: Path) -> str:
        configs = path.parent / "bundle" / "configs"
        configs.mkdir(parents=True, exist_ok=True)
        (configs / "metadata.json").write_bytes(path.read_bytes())
        return Bundle(configs.parent).version

    def entries(path: Path) -> object:
        path.chmod(0o600)
        return TokenFile(path).entries()

    return {
        "label": (label.read_bytes(), read_label_json),
        "thresholds": (thresholds.read_bytes(), read_thresholds),
        "uncertainty": (uncertainty.read_bytes(), lambda path: read_uncertainty(path, weights_sha256="a" * 64)),
        "tokens": (tokens.read_bytes(), entries),
        "datalist": (datalist, lambda path: load_datalist(path, "all")),
        "metadata": (metadata, version),
    }


def mutant(content: bytes, seed: int) -> bytes:
    """The content with one kind of damage, chosen by the seed."""
    rng = np.random.default_rng([6, seed])
    kind = rng.integers(6)
    if kind == 0:
        data = bytearray(content)
        for _ in range(rng.integers(1, 9)):
            data[rng.integers(len(data))] = rng.integers(256)
        return bytes(data)
    if kind == 1:
        return content[: rng.integers(len(content))]
    if kind == 2:
        at = int(rng.integers(len(content)))
        return content[:at] + content[at + int(rng.integers(1, 60)) :] + content[: int(rng.integers(20))]
    if kind == 3 and rng.random() < 0.3:
        opened = [b"[", b'{"training":', b'{"frames":['][rng.integers(3)]
        return opened * _DEEP + (b"]" * _DEEP if rng.random() < 0.5 else b"")
    return _replaced(json.loads(content), rng)


def _replaced(content: Any, rng: np.random.Generator) -> bytes:
    """One or two values are of another kind, or gone, or nested a thousand deep."""
    content = copy.deepcopy(content)
    deep = False
    for _ in range(rng.integers(1, 3)):
        places = list(_places(content))
        if not places:
            break
        parent, key = places[rng.integers(len(places))]
        how = rng.random()
        if how < 0.1:
            del parent[key]
        elif how < 0.2 and isinstance(parent, dict):
            parent[f"{key}2"] = parent.pop(key)
        elif how < 0.25:
            parent[key], deep = "DEEP", True
        else:
            parent[key] = copy.deepcopy(_ODD[rng.integers(len(_ODD))])
    text = json.dumps(content)
    return (text.replace('"DEEP"', "[" * _DEEP + "]" * _DEEP) if deep else text).encode()


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(content) if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    for key in keys:
        yield content, key
        yield from _places(content[key])


def run(count: int, *, first: int = 0) -> tuple[Counter[str], list[str]]:
    """How the mutants of all files ended, and what was raised that is no ValueError, or names no file."""
    outcomes: Counter[str] = Counter()
    faults = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = originals(folder)
        for seed in range(first, first + count):
            kind = list(found)[seed % len(found)]
            content, read = found[kind]
            path = folder / f"{kind}.json"
            path.write_bytes(mutant(content, seed))
            try:
                read(path)
                outcomes["read"] += 1
            except ValueError as error:
                outcomes["refused"] += 1
                if path.name not in str(error) and "metadata.json" not in str(error):
                    faults.append(f"seed {seed}: {kind}: no file is named: {str(error)[:120]}")
            except BaseException as error:
                faults.append(f"seed {seed}: {kind}: {type(error).__name__}: {str(error)[:120]}")
    return outcomes, faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=15_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    args = parser.parse_args()
    outcomes, faults = run(args.count, first=args.first)
    print(*faults, sep="\n", end="\n" if faults else "")
    print(f"{args.count} mutants: " + ", ".join(f"{n} {o}" for o, n in sorted(outcomes.items())) + f"; {len(faults)} fault(s)")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
