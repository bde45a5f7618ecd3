"""``monai-tavr labels``: find labels that are probably wrong; fit what is usual; measure how many errors are found."""

from __future__ import annotations

import argparse

from monai_tavr.commands import labels_check, labels_fit, labels_measure

__all__ = ["add_arguments", "run"]

_EPILOG = """examples:
  monai-tavr labels check data
  monai-tavr labels check studies-labels --studies studies --html suspicious.html
  monai-tavr labels check data --predictions results --json findings.json --fail
  monai-tavr labels fit --data data --split train --out mine.json
  monai-tavr labels measure --data data --split test

`monai-tavr labels check --help` explains one of them. docs/label-checks.md says what is found."""


_ACTIONS = {"check": labels_check, "fit": labels_fit, "measure": labels_measure}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = _EPILOG
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, module in _ACTIONS.items():
        words = module.SUMMARY
        module.add_arguments(actions.add_parser(name, help=words, formatter_class=parser.formatter_class))


def run(args: argparse.Namespace) -> int:
    """Do what the action says; returns the exit code."""
    return _ACTIONS[args.action].run(args)
