"""The command ``monai-tavr``: what researchers and hospitals call.

Exit codes: 0 everything worked; 1 some of it failed, and what was written is complete; 2 the command was not understood or lacks
something, and nothing was done; 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

from monai_tavr import __version__

__all__ = ["main"]

# command -> (module with add_arguments and run, what it does); only the module of the chosen command is imported.
# Other packages add theirs by an entry point of the group below, whose module also has SUMMARY.
_OWN = {
    "predict": ("monai_tavr.commands.predict", "find the keypoints of cines; write label files and overlays"),
    "evaluate": ("monai_tavr.commands.evaluate", "measure the model, or any predictions, against labels"),
    "thresholds": ("monai_tavr.commands.thresholds", "choose the decision thresholds on validation patients"),
    "typical": ("monai_tavr.commands.typical", "fit what tells frames of a TAVR from others, which are then marked"),
    "adapt": ("monai_tavr.commands.adapt", "fit the model to a hospital's machines by frames without labels"),
    "extend": ("monai_tavr.commands.extend", "add groups of points to a model, keeping what it has learnt"),
    "active-learning": ("monai_tavr.commands.active_learning", "compare strategies that choose frames to label, on phantoms"),
    "benchmark": ("monai_tavr.commands.benchmark", "measure speed, tracking, and the model on patients beside a published rival"),
    "convert": ("monai_tavr.commands.convert", "carry labels from one format to another, or make a datalist of them"),
    "labels": ("monai_tavr.commands.labels", "find labels that are probably wrong, the worst first"),
    "phantom": ("monai_tavr.commands.phantom", "make synthetic angiography cines with exact labels"),
    "info": ("monai_tavr.commands.info", "say which model, thresholds, packages and devices there are"),
}

_GROUP = "monai_tavr.commands"

_DESCRIPTION = """Keypoints on X-ray angiography during transcatheter aortic valve replacement.

The shipped weights were trained on synthetic phantoms, never on labelled patients. This is no medical device."""

_EPILOG = """commands:
{commands}

first steps, without any data of your own:
  monai-tavr phantom --preset demo --out demo                    six synthetic studies
  monai-tavr predict demo --out results --overlay mp4            their points as files, and films to look at
  monai-tavr evaluate --data demo --split test --json test.json  how near the points are to the labels
  monai-tavr serve --studies demo                                the viewer, to correct points and to learn from it

`monai-tavr COMMAND --help` explains a command. Exit code: 0 all done, 1 some failed, 2 nothing done."""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of descriptions; a little wider than argparse's 24 columns for names."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)


@dataclass(frozen=True)
class _Added:
    """A command of another package, or of an extra of this one."""

    entry: EntryPoint

    def module(self) -> ModuleType:
        """Raises ValueError, saying what to install, where what it is made of is not there."""
        try:
            return importlib.import_module(self.entry.module)
        except ModuleNotFoundError as error:
            raise ValueError(self.missing(error)) from error

    def missing(self, error: ModuleNotFoundError) -> str:
        """What to install."""
        package = self.entry.dist.name if self.entry.dist else self.entry.module.partition(".")[0]
        extras = f"[{','.join(self.entry.extras)}]" if self.entry.extras else ""
        return f"{error.name} is not installed; this command needs: pip install '{package}{extras}'"

    @property
    def summary(self) -> str:
        try:
            return str(self.module().SUMMARY)
        except ValueError as error:
            return str(error)


def _added() -> dict[str, _Added]:
    return {entry.name: _Added(entry) for entry in sorted(entry_points(group=_GROUP), key=lambda e: e.name)}


def _parser(command: str | None, added: dict[str, _Added]) -> argparse.ArgumentParser:
    """The parser, with the arguments of ``command`` filled in."""
    summaries = {name: summary for name, (_, summary) in _OWN.items()} | {name: a.summary for name, a in added.items()}
    # argparse would break the line after a long name
    listed = "\n".join(f"  {name:17s}{summary}" for name, summary in summaries.items())
    epilog = _EPILOG.format(commands=listed)
    parser = argparse.ArgumentParser("monai-tavr", description=_DESCRIPTION, epilog=epilog, formatter_class=_Formatter)
    parser.add_argument("--version", action="version", version=f"monai-tavr {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", help="one of the below")
    for name, summary in summaries.items():
        chosen = commands.add_parser(name, description=summary[0].upper() + summary[1:] + ".")
        chosen.formatter_class = _Formatter
        if name == command:
            module = importlib.import_module(_OWN[name][0]) if name in _OWN else added[name].module()
            module.add_arguments(chosen)
            chosen.set_defaults(run=module.run, debug=False)
            for one in (chosen, *_actions_of(chosen)):
                words = "show the traceback of an error"
                one.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=words)
    return parser


def _actions_of(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers of a command's own commands, as in ``benchmark predict``."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    added = _added()
    command = next((a for a in arguments if a in _OWN or a in added), None)
    try:
        args = _parser(command, added).parse_args(arguments)
    except ValueError as error:
        print(f"monai-tavr {command}: error: {error}", file=sys.stderr)
        return 2
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader, e.g. `head`, went away; Python would complain once more while closing
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if args.debug:
            raise
        if isinstance(error, ModuleNotFoundError) and command in added:
            print(f"monai-tavr {command}: error: {added[command].missing(error)}", file=sys.stderr)
            return 2
        kind = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
        hint = "" if isinstance(error, ValueError | OSError) else " (run it again with --debug and report this)"
        print(f"monai-tavr {args.command}: error: {kind}{error}{hint}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
