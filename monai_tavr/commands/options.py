"""Options that several commands share, and how their text is read."""

from __future__ import annotations

import argparse
import math
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_tavr.keypoints import KeypointSchema
    from monai_tavr.predictor import KeypointPredictor

__all__ = [
    "add_model_arguments",
    "build_predictor",
    "chosen_schema",
    "noting_warnings",
    "parse_frames",
    "parse_names",
    "positive_number",
    "share",
]


def add_model_arguments(parser: argparse.ArgumentParser, *, precision: str = "auto") -> None:
    """``--bundle --weights --schema --device --precision --batch-size``.

    Args:
        parser: of the command.
        precision: the default. Commands whose figures are written down take ``fp32``: a point may move by hundredths of a pixel
            in bf16, and figures must not depend on the machine that they were worked out on.
    """
    group = parser.add_argument_group("model")
    group.add_argument("--bundle", type=Path, metavar="DIR", help="bundle with 'configs' and 'models' (default: the shipped one)")
    group.add_argument("--weights", type=Path, metavar="FILE", help="other weights for the bundle's network")
    group.add_argument(
        "--schema", metavar="NAME|FILE", help="keypoint schema, if not the bundle's: tavr11, authors10, a YAML file"
    )
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 (default: cuda if there is one)")
    group.add_argument(
        "--precision",
        choices=["auto", "fp32", "bf16"],
        default=precision,
        help="bf16 is faster and a little less exact; auto: bf16 where the machine computes in it (default: %(default)s)",
    )
    group.add_argument("--batch-size", type=int, default=8, metavar="N", help="frames per pass (default: 8)")


def build_predictor(args: argparse.Namespace, **options: Any) -> KeypointPredictor:
    """The predictor that the shared options ask for."""
    from monai_tavr.predictor import KeypointPredictor

    return KeypointPredictor(
        args.bundle,
        weights=args.weights,
        schema=args.schema,
        device=args.device,
        precision=args.precision,
        batch_size=args.batch_size,
        **options,
    )


def chosen_schema(args: argparse.Namespace) -> KeypointSchema | None:
    """The schema that the shared options ask for, without the model; None = that of the shipped bundle."""
    from monai_tavr.bundle import Bundle
    from monai_tavr.keypoints import load_schema

    if args.schema is not None:
        return load_schema(args.schema)
    return None if args.bundle is None else Bundle.find(args.bundle).schema()


@contextmanager
def noting_warnings() -> Iterator[None]:
    """What readers warn of in the block, as notes for people on standard error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        print(f"note: {warning.message}", file=sys.stderr)


def positive_number(text: str) -> float:
    """A finite number above 0; for argparse's ``type``. Raises ArgumentTypeError for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


def share(text: str) -> float:
    """A number from 0 to 1; for argparse's ``type``. Raises ArgumentTypeError for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 1")
    return value


def parse_frames(text: str) -> list[int]:
    """``0-10,20`` -> 0 to 10 and 20, sorted, each once; for argparse's ``type``. Else raises ArgumentTypeError."""
    frames: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise argparse.ArgumentTypeError(f"{text!r} is no list of frames; write for example 0-10,20 (the first frame is 0)")
        frames.update(range(int(first), int(last if dash else first) + 1))
    return sorted(frames)


def parse_names(text: str) -> Sequence[str]:
    """``a,b`` -> ["a", "b"]; empty text -> []; for argparse's ``type``."""
    return [name.strip() for name in text.split(",") if name.strip()]
