"""Defaults that several commands share."""

from __future__ import annotations

import argparse
import importlib

import pytest


@pytest.mark.parametrize(
    ("command", "action", "precision"),
    [
        ("monai_tavr.commands.predict", [], "auto"),
        ("monai_tavr.commands.benchmark", ["predict"], "auto"),
        ("label_app.commands.serve", [], "auto"),  # as the app's own configuration
        # what these write down must not depend on the machine
        ("monai_tavr.commands.benchmark", ["rival"], "fp32"),
        ("monai_tavr.commands.evaluate", [], "fp32"),
        ("monai_tavr.commands.thresholds", [], "fp32"),
        ("monai_tavr.commands.active_learning", ["calibrate"], "fp32"),
    ],
)
def test_people_do_not_wait_and_figures_do_not_vary(command, action, precision):
    parser = argparse.ArgumentParser()
    importlib.import_module(command).add_arguments(parser)
    for name in action:
        subparsers = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
        parser = subparsers.choices[name]
    assert parser.get_default("precision") == precision
