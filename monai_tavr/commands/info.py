"""``monai-tavr info``: what is installed, for a bug report or an installation record."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from monai_tavr import __version__

__all__ = ["add_arguments", "collect", "run"]

_PACKAGES = ("monai", "torch", "torchvision", "numpy", "pydicom", "monailabel", "opencv-python-headless", "numba")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = "Send its output along when you report a fault; it names no patient."
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--bundle", type=Path, metavar="DIR", help="bundle with 'configs' and 'models' (default: the shipped one)"
    )


def collect(bundle: Path | None = None) -> dict[str, Any]:
    """Everything as plain containers. What is missing is said, not raised: the report is for finding faults."""
    return {
        "version": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "bundle": _bundle(bundle),
        "packages": {name: _installed(name) for name in _PACKAGES},
        "devices": _devices(),
    }


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _bundle(bundle: Path | None) -> dict[str, Any]:
    from monai_tavr.bundle import Bundle, sha256_of
    from monai_tavr.keypoints import load_schema
    from monai_tavr.postprocess import read_thresholds
    from monai_tavr.typicality import FILE_NAME, read_typicality

    try:
        found = Bundle.find(bundle)
        schema, image_size = found.content("schema", "image_size")
        schema = load_schema(schema)
        report: dict[str, Any] = {
            "folder": str(found.root),
            "version": found.version,
            "schema": schema.name,
            "points": list(schema.names),
            "groups": list(schema.group_names),
            "image_size": [int(s) for s in image_size],
            "weights": str(found.weights) if found.weights.is_file() else None,
            "weights_sha256": sha256_of(found.weights) if found.weights.is_file() else None,
            "thresholds": None,
        }
        if found.thresholds.is_file():
            thresholds = read_thresholds(found.thresholds, schema=schema)
            report["thresholds"] = dict(thresholds.points)
            report["thresholds_selected_on"] = thresholds.selected_on
        if found.weights.is_file():
            typicality = read_typicality(found.weights.with_name(FILE_NAME), weights_sha256=report["weights_sha256"])
            report["typical_fitted_on"] = None if typicality is None else typicality.fitted_on
    except (ValueError, OSError) as error:
        return {"error": str(error)}
    return report


def _devices() -> list[str]:
    import torch

    cuda = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    return [f"cpu ({torch.get_num_threads()} threads)", *cuda]


def _lines(value: Any, indent: int = 0) -> list[str]:
    lines = []
    for key, item in value.items():
        pad = "  " * indent
        if isinstance(item, Mapping):
            lines += [f"{pad}{key}:", *_lines(item, indent + 1)]
        else:
            text = ", ".join(map(str, item)) if isinstance(item, list) else "missing" if item is None else str(item)
            lines.append(f"{pad}{key}: {text}")
    return lines


def run(args: argparse.Namespace) -> int:
    """Print the report."""
    report = collect(args.bundle)
    print(json.dumps(report, indent=1) if args.json else "\n".join(_lines(report)))
    return 0
