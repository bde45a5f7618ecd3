"""Writes ``docs/api.md`` from the docstrings of the public names, ``monai_tavr.__all__``; with ``--check`` only compares.

griffe2md renders each name; the page is sorted by module, and its links are those that Markdown viewers follow.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import griffe
from griffe2md import ConfigDict, render_object_docs

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "docs" / "api.md"
PACKAGE = "monai_tavr"
COLON = "\ufdd0"  # stands for a colon in a description of what is returned: griffe takes what comes before one for a type
ROOMS = [
    *["keypoints", "label", "cine", "dicom", "formats", "predictor", "postprocess", "bundle", "tracking", "drawing"],
    *["networks", "codec", "training", "evaluation", "phantom"],
]
CONFIG = ConfigDict(
    heading_level=3,
    show_root_full_path=False,
    show_root_members_full_path=False,
    show_object_full_path=False,
    show_if_no_docstring=False,
    show_signature_annotations=True,
    inherited_members=False,
    members_order="source",
    summary=False,
)
INTRODUCTION = """# Python API

What `from monai_tavr import ...` offers. Everything else is the inside of the house and may change between versions. Points are
always (x, y) in native pixels, 0 = centre of the first pixel. Axes: B batch, F frames, K keypoints, G groups, H rows, W columns.

Made from the docstrings by `make api`; edit those.
"""


def public_objects() -> Iterator[tuple[griffe.Module, list[griffe.Object]]]:
    """Modules in the order of ``ROOMS``, each with what it makes public, in the order of its file."""
    options = griffe.GoogleOptions(returns_multiple_items=False, returns_named_value=False)
    loader = griffe.GriffeLoader(
        search_paths=[REPOSITORY], docstring_parser="google", docstring_options=options, allow_inspection=False
    )
    package = loader.load(PACKAGE)
    loader.resolve_aliases()
    names = sorted(name for name in package.members if name in (package.exports or ()) and name != "__version__")
    objects = [package[name].final_target for name in names]
    for part in [*objects, *(member for o in objects for member in o.members.values() if not member.is_alias)]:
        if part.docstring:
            part.docstring.value = prepared(part.docstring.value)
    modules = {o.module.path: o.module for o in objects}
    for module in sorted(modules.values(), key=lambda m: (ROOMS.index(m.path.split(".")[1]), m.path)):
        yield module, sorted((o for o in objects if o.module is module), key=lambda o: o.lineno or 0)


def first_line(obj: griffe.Object) -> str:
    """What a name is, in one sentence."""
    return plain(obj.docstring.value.split("\n\n")[0].replace("\n", " ")) if obj.docstring else ""


def plain(text: str) -> str:
    """Roles of other documentation tools as code: ``:func:`~a.b.c``` becomes `c`."""
    return re.sub(r":\w+:`~?([\w.]+)`", lambda role: f"`{role[1].rpartition('.')[2]}`", text)


def prepared(text: str) -> str:
    """A docstring as griffe and griffe2md need it."""
    section = r"(?<=^Returns:\n)(?:[ \t]+.*\n?|\n(?=[ \t]))+"
    return re.sub(section, lambda body: body[0].replace(":", COLON), plain(text), flags=re.MULTILINE)


def ruff_format(text: str, *, name: str) -> str:
    """What ``ruff format`` makes of a file of that name."""
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length=110", f"--stdin-filename={name}", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def wrapped_signatures(page: str) -> str:
    """The page with signatures broken into lines as ruff breaks them."""
    blocks = re.findall(r"```python\n(\w+\(.*)\n\n?```", page)
    stubs = "".join(f"def {signature}: ...\n" for signature in blocks)
    formatted = ruff_format(stubs, name="api.pyi")
    signatures = iter(re.findall(r"^def (.*?): \.\.\.$", formatted, re.MULTILINE | re.DOTALL))
    return re.sub(r"```python\n\w+\(.*\n\n?```", lambda _: f"```python\n{next(signatures)}\n```", page)


def api_page() -> str:
    """The whole page."""
    contents, chapters, known = [], [], set()
    for module, objects in public_objects():
        contents.append(f"\n**`{module.path}`** {first_line(module)}\n")
        chapters.append(f"## `{module.path}`\n")
        for obj in objects:
            known.add(obj.name)
            contents.append(f"- [`{obj.name}`](#{obj.name.lower()}): {first_line(obj)}")
            chapters.append(render_object_docs(obj, CONFIG).strip() + "\n")

    def link(match: re.Match[str]) -> str:
        name = match[2].rpartition(".")[2]
        return f"[{match[1]}](#{name.lower()})" if name in known and match[2].startswith(PACKAGE) else match[1]

    text = "\n".join(chapters).replace(COLON, ":")
    details = re.sub(r"\[([^\]\n]+)\]\(#([\w., ]+)\)", link, text)
    details = re.sub(r"\*\*(\w+),\*\* \(<code>\(?([\w, ]+)\)?</code>\)", r"**\1, \2**", details)  # one entry for several names
    return ruff_format("\n".join([INTRODUCTION, *contents, "", wrapped_signatures(details)]), name="api.md")


def main() -> int:
    """Write the page, or compare it; 1 = it is out of date."""
    page = api_page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page:
        print(f"{PAGE.relative_to(REPOSITORY)} is not what the docstrings say: run `make api` and commit it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
