"""``monai-tavr serve``: the viewer and its server, from the MONAI Label app."""

from __future__ import annotations

import argparse

from label_app.arguments import add_server_arguments
from monai_tavr.commands.options import add_model_arguments, build_predictor, chosen_schema

__all__ = ["SUMMARY", "add_arguments", "run"]

SUMMARY = "open the viewer (OHIF on MONAI Label) on a folder of studies"

_EPILOG = """examples:
  monai-tavr serve --studies /path/to/dicom
  monai-tavr serve --studies /path/to/dicom --port 8080
  monai-tavr serve --studies "https://pacs.example/dicom-web?StudyDate=20260101-"    # a DICOMweb archive

An archive's login comes from the environment: MONAI_TAVR_PACS_USER and MONAI_TAVR_PACS_PASSWORD, or
MONAI_TAVR_PACS_CREDENTIALS, a file of two lines.

Open the printed address in a browser, choose a study and the mode "TAVR keypoints", press Predict.
Only this machine can connect unless --host says otherwise; that takes a login and encryption (docs/administrators.md).
Files in the folder are read, never changed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = _EPILOG
    add_server_arguments(parser)
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    from label_app.server import serve, server_options

    schema = chosen_schema(args)  # a wrong one ends the start, not the first submit
    serve(**server_options(args), load_predictor=lambda: build_predictor(args), schema=schema)
    return 0
