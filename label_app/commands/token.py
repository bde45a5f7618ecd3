"""``monai-tavr token``: who may log in to a server that runs with ``--token-file``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from label_app.lib.auth.tokens import TokenFile

__all__ = ["SUMMARY", "add_arguments", "run"]

SUMMARY = "say who may log in to a server that other machines reach"

_EPILOG = """examples:
  monai-tavr token add anna --role annotator --file tokens.json
  monai-tavr token list --file tokens.json
  monai-tavr token remove anna --file tokens.json

`add` prints the token once; the file holds its hash only. A running server follows the file: nothing to restart."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = _EPILOG
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="make a token and print it")
    add.add_argument("name", help="the user's; it stands beside labels and in the audit log")
    add.add_argument("--role", choices=("annotator", "reviewer", "admin"), default="annotator", help="default: annotator")
    add.add_argument("--days", type=float, default=365, help="how long it is valid (default: 365)")
    remove = actions.add_parser("remove", help="take a user's token away")
    remove.add_argument("name")
    listing = actions.add_parser("list", help="say who has one")
    for action in (add, remove, listing):
        action.add_argument("--file", required=True, help="the file of tokens, as in serve --token-file")


def run(args: argparse.Namespace) -> int:
    """Change or show a file of tokens."""
    from label_app.lib.auth.tokens import TokenFile

    tokens = TokenFile(args.file)
    if args.action == "add":
        print(tokens.add(args.name, role=args.role, days=args.days))
    elif args.action == "remove":
        tokens.remove(args.name)
    else:
        _show(tokens)
    return 0


def _show(tokens: TokenFile) -> None:
    for entry in tokens.entries():
        print(f"{entry.name:24s} {entry.role:10s} {'expired' if entry.expired else 'until'} {entry.expires}")
