"""Which module may import which, what importing costs, and that public names are listed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import monai_tavr

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "monai_tavr"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(REPOSITORY / "label_app").rglob("*.py")])
FILES = {path.relative_to(PACKAGE).with_suffix("").as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}


# The drawing: a file may import from rooms that stand before its own, never from one behind it. Tests fail with the line.
ORDER = [
    *["former_paths", "lazy", "keypoints", "files", "uids", "devices", "weights", "label", "cine"],
    *["codec", "dicom", "formats", "plausibility", "bundle", "postprocess", "drawing"],
    *["transforms", "networks", "phantom"],
    *["typicality", "predictor", "tracking", "evaluation", "training", "active_learning", "rival"],
    *["commands", "cli"],
]
APP_ORDER = [
    *["arguments", "lib.auth", "lib.images", "lib.labels", "lib.models"],
    *["lib.datastores", "lib.dicomweb", "lib.infers", "lib.scoring", "lib.configs", "lib.trainers", "lib.activelearning"],
    *["lib.app", "main", "lib.web", "server", "commands"],
]
ROOMS = [f"monai_tavr.{room}" for room in ORDER] + [f"label_app.{room}" for room in APP_ORDER]


def imported(path: Path) -> list[tuple[int, str]]:
    """(line, absolute name) of everything that a file imports, for type checkers too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def room_of(name: str) -> str | None:
    """The room that a module or one of its names belongs to; None for other packages and for the packages themselves."""
    return next((room for room in ROOMS if belongs_to(name, room)), None)


def imports(path: Path) -> set[str]:
    """Absolute names of what a file imports."""
    return {name for _, name in imported(path)}


def belongs_to(name: str, *packages: str) -> bool:
    return any(name == p or name.startswith(f"{p}.") for p in packages)


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


def test_every_file_stands_in_a_room():
    assert [module_of(p) for p in SOURCES if room_of(module_of(p)) is None] == ["label_app", "label_app.lib", "monai_tavr"]


def test_imports_point_one_way_between_rooms():
    """No circle and no arrow back up; with that order nothing in monai_tavr can import label_app."""
    wrong = []
    for path in SOURCES:
        own = room_of(module_of(path))
        for line, name in imported(path):
            other = room_of(name)
            if own and other and ROOMS.index(other) > ROOMS.index(own):
                wrong.append(f"{path.relative_to(REPOSITORY)}:{line}: {own} imports {name}, which stands above it")
    assert wrong == []


def test_imports_inside_a_room_make_no_circle():
    """Files of a room import one another, not the room's door."""
    modules = {module_of(path): path for path in SOURCES}
    below: dict[str, dict[str, int]] = {}
    for name, path in modules.items():
        for line, target in imported(path):
            module = target if target in modules else target.rpartition(".")[0]
            if module in modules and module != name and path.name != "__init__.py":
                below.setdefault(name, {})[module] = line
    circles = []
    for name in below:
        reached, todo = set(), list(below[name])
        while todo:
            module = todo.pop()
            if module not in reached:
                reached.add(module)
                todo += below.get(module, {})
        if name in reached:
            circles += [
                f"{modules[name].relative_to(REPOSITORY)}:{line} imports {m}" for m, line in below[name].items() if m in reached
            ]
    assert circles == []
    doors = [
        f"{path.relative_to(REPOSITORY)}:{line}: import from the file, not from the door {module_of(path.parent)}"
        for path in SOURCES
        if path.name != "__init__.py" and path.parent not in (PACKAGE, REPOSITORY / "label_app", REPOSITORY / "label_app" / "lib")
        for line, name in imported(path)
        if name.rpartition(".")[0] == module_of(path.parent) and name not in modules
    ]
    assert doors == []


def test_nothing_in_monai_tavr_knows_the_label_app_or_monailabel():
    users = [
        f"{path.relative_to(REPOSITORY)}:{line}: {name}"
        for path in FILES.values()
        for line, name in imported(path)
        if belongs_to(name, "monailabel", "label_app")
    ]
    assert users == []


def test_the_data_type_needs_numpy_and_yaml_only():
    foreign = {i.split(".")[0] for i in imports(FILES["keypoints"])} - sys.stdlib_module_names
    assert foreign == {"numpy", "yaml"}


@pytest.mark.parametrize(
    ("below", "not_needed"),
    [
        ("formats/label_json", ["torch", "monai"]),
        ("cine", ["torch", "monai"]),
        ("codec", ["monai"]),
        ("dicom/open", ["torch", "monai"]),
        ("dicom/writer", ["torch", "monai"]),
        ("postprocess", ["torch", "monai"]),
        ("drawing/overlay", ["torch", "monai"]),
    ],
)
def test_what_a_file_does_not_need(below, not_needed):
    assert sorted(i for i in imports(FILES[below]) if belongs_to(i, *not_needed)) == []


def test_importing_the_package_and_asking_for_help_is_cheap():
    heavy = run(
        "import sys, contextlib, io\n"
        "import monai_tavr\n"
        "from monai_tavr.cli import main\n"
        "for arguments in (['--help'], ['predict', '--help'], ['evaluate', '--help'], ['serve', '--help'], ['info', '--help']):\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "        main(arguments)\n"
        "print(*sorted({'torch', 'monai', 'cv2', 'pydicom', 'matplotlib', 'scipy', 'numba', 'tqdm'} & set(sys.modules)))"
    )
    assert heavy.strip() == ""


@pytest.mark.slow
def test_the_core_works_without_monailabel():
    out = run(
        "import sys\n"
        "sys.modules['monailabel'] = None\n"
        "import importlib, pkgutil, monai_tavr\n"
        "names = [m.name for m in pkgutil.walk_packages(monai_tavr.__path__, 'monai_tavr.')]\n"
        "for name in names:\n"
        "    importlib.import_module(name)\n"
        "for name in monai_tavr.__all__:\n"
        "    getattr(monai_tavr, name)\n"
        "from monai_tavr.cli import main\n"
        "print(len(names), main(['serve', '--studies', '.']), main(['info', '--json']))"
    )
    assert out.strip().endswith("2 0")


def test_serving_without_monailabel_says_what_to_install():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.modules['label_app'] = None; from monai_tavr.cli import main\n"
            "sys.exit(main(['serve', '--studies', '.']))",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "pip install 'monai-tavr[label]'" in done.stderr
    assert "Traceback" not in done.stderr


def top_level(path: Path) -> tuple[list[str] | None, set[str]]:
    """``__all__`` of a file, and every name that it defines or imports at the top."""
    listed: list[str] | None = None
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            assigned = {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
            names |= assigned
            if "__all__" in assigned and node.value is not None:
                listed = ast.literal_eval(node.value)
        else:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    names |= {(alias.asname or alias.name).split(".")[0] for alias in inner.names}
    return listed, names


@pytest.mark.parametrize("name", FILES)
def test_listed_names_exist(name):
    listed, names = top_level(FILES[name])
    assert len(set(listed or [])) == len(listed or [])
    assert set(listed or []) <= names


def test_what_modules_take_from_one_another_is_listed():
    listed = {f"monai_tavr.{n}".replace("/", ".").removesuffix(".__init__"): top_level(path)[0] for n, path in FILES.items()}
    sources = [*FILES.values(), *(PACKAGE.parent / "label_app").rglob("*.py")]
    taken = {i for path in sources for i in imports(path) if belongs_to(i, "monai_tavr")}
    hidden = []
    for name in sorted(taken - set(listed)):
        module, _, member = name.rpartition(".")
        if module in listed and member not in (listed[module] or []):
            hidden.append(name)
    assert hidden == [], "add them to __all__ of their modules"


def test_the_public_names_are_what_type_checkers_see():
    """Each is imported once: at once if it is cheap, else for type checkers, and by ``__getattr__`` from the same module."""
    visible = {name.rpartition(".")[2]: name.rpartition(".")[0] for _, name in imported(PACKAGE / "__init__.py")}
    own = {name: visible[name] for name in monai_tavr.__all__ if name != "__version__"}
    later = {name: f"monai_tavr.{module}" for module, names in monai_tavr._LATER.items() for name in names}
    assert later.items() <= own.items()
    assert {name for name in own if name not in later} <= set(vars(monai_tavr.keypoints))
    assert set(monai_tavr.__all__) <= set(dir(monai_tavr))
    with pytest.raises(AttributeError, match="no attribute 'KeypointsNet'"):
        _ = monai_tavr.KeypointsNet


def test_types_are_shipped():
    assert all((REPOSITORY / package / "py.typed").is_file() for package in ("monai_tavr", "label_app"))


def test_every_module_lists_its_public_names():
    for name, path in FILES.items():
        listed, _ = top_level(path)
        defined = {
            n.name for n in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(n, ast.FunctionDef | ast.ClassDef)
        }
        assert listed is not None or not {n for n in defined if not n.startswith("_")}, f"{name} has no __all__"
