"""``monai-tavr extend``: a bundle for a schema with more groups, that keeps what was learnt."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_arguments", "run"]

_EPILOG = """example:
  cp monai_tavr/schemas/tavr11.yaml mine.yaml      # then give it a name, 'extends: TAVR11', and a group of points
  monai-tavr extend --schema mine.yaml --out mine
  monai-tavr predict run.dcm --bundle mine --out results
  (cd mine && python -m monai.bundle run --config_file configs/train.yaml --dataset_dir DATA)
  monai-tavr serve --bundle mine --studies DATA

Of the groups that it had the model says what it said, to the digit; the new ones are absent until they are trained. Groups and
points are matched by name, in any order. docs/schemas.md says more."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "--schema", required=True, metavar="FILE", help="YAML of the schema with all groups that the model has, and new ones"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the new bundle; new, or empty")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="the bundle to extend (default: the shipped one)")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="other weights for that bundle's network")
    parser.add_argument("--weights-schema", metavar="NAME|FILE", help="schema of the weights, if not the bundle's")


def run(args: argparse.Namespace) -> int:
    """Write the bundle."""
    from monai_tavr.training.extension import extend_bundle

    options = {"bundle": args.bundle, "weights": args.weights, "weights_schema": args.weights_schema}
    added = extend_bundle(args.out, schema=args.schema, **options)
    print(f"{args.out}: new and not trained yet: {', '.join(added)}")
    return 0
