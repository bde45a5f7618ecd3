"""What the documentation names is there: files, links, headings, commands with their options, modules, public names."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import monai_tavr
from monai_tavr import cli

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = sorted([REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *REPOSITORY.glob("docs/*.md")])
SOURCES = sorted(
    path
    for folder, pattern in (
        ("monai_tavr", "*.py"),
        ("label_app", "*.py"),
        ("label_app", "*.js"),
        ("configs", "*"),
        ("examples", "*.py"),
    )
    for path in (REPOSITORY / folder).rglob(pattern)
    if path.is_file()
)
TOP = {"monai_tavr", "label_app", "configs", "docs", "examples", "tests"}
CODE = re.compile(r"^```(\w*)\n(.*?)^```$|^    (monai-tavr .*|make .*|python .*)$", re.MULTILINE | re.DOTALL)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def code_blocks(page: Path) -> Iterator[tuple[str, str]]:
    """(language, text) of each block of code."""
    for match in CODE.finditer(page.read_text(encoding="utf-8")):
        yield (match[1], match[2]) if match[3] is None else ("sh", match[3])


def quoted(page: Path) -> list[str]:
    """What stands in backticks, outside blocks of code."""
    return re.findall(r"`+([^`\n]+)`+", CODE.sub("", page.read_text(encoding="utf-8")))


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command line that begins with one of our programs; continued lines are joined, comments cut."""
    lines = [line for language, text in code_blocks(page) if language == "sh" for line in text.replace("\\\n", " ").splitlines()]
    for line in [*lines, *quoted(page)]:
        for part in line.split(" && "):
            if re.match(r"(\S*/)?(monai-tavr|make|python) ", part.strip()):
                try:
                    words = shlex.split(part, comments=True)
                except ValueError:  # an abbreviated line in the text
                    words = part.split()
                yield [Path(words[0]).name, *words[1:]]


def headings(page: Path) -> set[str]:
    """Anchors as GitHub makes them of the headings."""
    titles = re.findall(r"^#+ (.*)$", CODE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@each_page
def test_links_lead_somewhere(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if not target.startswith("http"):
            file = page.parent / path if path else page
            if not file.exists() or (anchor and file.suffix == ".md" and anchor not in headings(file)):
                broken.append(target)
    assert broken == []


@each_page
def test_files_that_a_page_names_exist(page):
    """Whole paths are below the repository; a name alone is below a folder that the page names too."""
    words = [w for w in quoted(page) if re.fullmatch(r"[\w./*-]+", w)]
    folders = [REPOSITORY, *(REPOSITORY / w for w in words if w.split("/")[0] in TOP and (REPOSITORY / w).is_dir())]
    missing = []
    for word in words:
        if word.split("/")[0] in TOP and "/" in word:
            found = any(REPOSITORY.glob(word.rstrip("/")))
        elif word.endswith((".py", ".js")) and not word.startswith("/"):
            found = any((folder / word).is_file() for folder in folders)
        else:
            continue
        if not found:
            missing.append(word)
    assert missing == []


def test_files_that_sources_name_exist():
    missing = []
    for path in SOURCES:
        for line, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            for name in re.findall(rf"(?<![\w/.])((?:{'|'.join(TOP)})/[\w./-]+\.(?:md|py|js|yaml|json))\b", text):
                if not (REPOSITORY / name).exists() and not (path.parent / name).exists():
                    missing.append(f"{path.relative_to(REPOSITORY)}:{line}: {name}")
    assert missing == []


@pytest.fixture(scope="module")
def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of every command, and of every action of it as "command action"."""
    found = {}
    added = cli._added()
    for name in [*cli._OWN, *added]:
        for command, parser in actions(cli._parser(name, added)).items():
            if command.split()[0] == name:
                found[command] = parser
    return found


def actions(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                found[name] = below
                found |= {f"{name} {deeper}": p for deeper, p in actions(below).items()}
    return found


def wrong_words(words: list[str], parsers: dict[str, argparse.ArgumentParser]) -> list[str]:
    """What ``monai-tavr WORDS`` does not understand."""
    if words[0].startswith("-") or words[0].isupper():
        return []
    parser = parsers.get(" ".join(words[:2])) or parsers.get(words[0])
    if parser is None:
        return [words[0]]
    known = {option for action in parser._actions for option in action.option_strings}
    named = [w.split("=")[0].rstrip(",.;:") for w in words[1:] if re.match(r"--?[a-z]", w) and not w.endswith("...")]
    return [option for option in named if option not in known]


@each_page
def test_commands_of_a_page_exist(page, parsers):
    targets = set(re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    wrong = []
    for program, *words in commands(page):
        if program == "monai-tavr":
            wrong += [f"monai-tavr {' '.join(words)}: {w}" for w in wrong_words(words, parsers)]
        elif program == "make":
            wrong += [f"make {w}" for w in words if w.islower() and w not in targets]
        elif words[0].endswith(".py"):
            wrong += [] if (REPOSITORY / words[0]).is_file() else [words[0]]
        elif words[0] == "-m" and words[1].split(".")[0] in TOP:
            file = REPOSITORY.joinpath(*words[1].split("."))
            wrong += [] if file.with_suffix(".py").is_file() or file.is_dir() else [words[1]]
    assert wrong == []


@each_page
def test_options_and_variables_of_a_page_exist(page, parsers):
    """``--option`` alone, in the text: of any command, or an id of a configuration; ``MONAI_TAVR_...``: read somewhere."""
    known = {option for parser in parsers.values() for action in parser._actions for option in action.option_strings}
    configured = set(
        re.findall(r"^(\w+):", "\n".join(p.read_text() for p in (REPOSITORY / "configs").glob("*.yaml")), re.MULTILINE)
    )
    known |= {f"--{name}" for name in configured}
    code = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in SOURCES)
    wrong = [
        word.split()[0] for word in quoted(page) if word.startswith("--") and word.split()[0] not in known and "..." not in word
    ]
    named = re.findall(r"MONAI_TAVR_\w+", page.read_text(encoding="utf-8"))
    assert wrong + [name for name in named if name not in code] == []


def test_commands_of_the_help_exist(parsers):
    shown = [cli._EPILOG, *(parser.epilog or "" for parser in parsers.values())]
    lines = [line.split("monai-tavr ", 1)[1] for text in shown for line in text.splitlines() if line.startswith("  monai-tavr ")]
    assert len(lines) > 20
    assert [wrong for line in lines for wrong in wrong_words(shlex.split(line.split(" && ")[0]), parsers)] == []


@each_page
def test_python_names_of_a_page_exist(page):
    """``monai_tavr.a.b`` is a module or a name in one; blocks of Python compile, and import public names only."""
    wrong = [
        name for word in quoted(page) for name in re.findall(r"\b((?:monai_tavr|label_app)(?:\.\w+)+)", word) if not known(name)
    ]
    for language, text in code_blocks(page):
        if language == "python" and page.name != "api.md":
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ImportFrom) and node.module == "monai_tavr":
                    wrong += [alias.name for alias in node.names if alias.name not in monai_tavr.__all__]
    assert wrong == []


def known(name: str) -> bool:
    package, *parts = name.split(".")
    place = REPOSITORY / package
    for index, part in enumerate(parts):
        if (place / part).is_dir() or (place / f"{part}.py").is_file():
            place = place / part
            continue
        file = place.with_suffix(".py") if place.with_suffix(".py").is_file() else place / "__init__.py"
        return index == len(parts) - 1 and re.search(rf"\b{part}\b", file.read_text(encoding="utf-8")) is not None
    return True


def test_tests_mirror_the_code_folder_by_folder():
    tests = REPOSITORY / "tests"
    folders = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")}
    homes = (REPOSITORY, REPOSITORY / "monai_tavr")
    assert [str(folder) for folder in sorted(folders) if not any((home / folder).is_dir() for home in homes)] == []


def test_a_picture_of_a_result_stands_on_the_first_screen():
    lines = (REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()
    assert next(n for n, line in enumerate(lines, 1) if line.startswith("![")) < 12
