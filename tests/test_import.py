"""Which module may import which, what importing costs, and that public names are listed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "monai_tavr"
FILES = {path.relative_to(PACKAGE).with_suffix("").as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path, *, module_level_only: bool = False) -> set[str]:
    """Absolute names of what a file imports; those only for type checkers are left out."""
    found: set[str] = set()

    def visit(node: ast.AST, inside: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            deeper = inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            if not (deeper and module_level_only):
                if isinstance(child, ast.Import):
                    found.update(alias.name for alias in child.names)
                elif isinstance(child, ast.ImportFrom):
                    assert child.level == 0, f"{path}: relative import"
                    found.update(f"{child.module}.{alias.name}" for alias in child.names)
            visit(child, deeper)

    visit(ast.parse(path.read_text(encoding="utf-8")), False)
    return found


def belongs_to(name: str, *packages: str) -> bool:
    return any(name == p or name.startswith(f"{p}.") for p in packages)


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_only_serve_and_token_know_the_label_app_and_only_when_called():
    users = {name for name, path in FILES.items() if any(belongs_to(i, "monailabel", "label_app") for i in imports(path))}
    assert users == {"commands/serve", "commands/token"}
    at_import = {i for user in users for i in imports(FILES[user], module_level_only=True)}
    assert not any(belongs_to(i, "monailabel", "label_app") for i in at_import)


def test_the_data_type_needs_numpy_and_yaml_only():
    foreign = {i.split(".")[0] for i in imports(FILES["keypoints"])} - sys.stdlib_module_names
    assert foreign == {"numpy", "yaml"}


@pytest.mark.parametrize(
    ("below", "above"),
    [
        ("keypoints", ["monai_tavr"]),
        ("formats/label_json", ["monai_tavr.codec", "monai_tavr.dicom.open", "monai_tavr.transforms.points", "torch", "monai"]),
        ("cine", ["monai_tavr.dicom.open", "monai_tavr.transforms.points", "torch", "monai"]),
        ("codec", ["monai_tavr.transforms.points", "monai_tavr.networks", "monai_tavr.dicom.open", "monai"]),
        ("dicom", ["monai_tavr.transforms.points", "monai_tavr.phantom", "torch"]),
        ("dicom_writer", ["monai_tavr.phantom", "torch", "monai"]),
        ("framing", ["monai_tavr.transforms.points", "monai_tavr.networks"]),
        ("metrics", ["monai_tavr.predictor", "monai_tavr.evaluation.frames", "monai_tavr.transforms.points"]),
        ("postprocess", ["monai_tavr.transforms.points", "monai_tavr.predictor", "torch", "monai"]),
        ("transforms", ["monai_tavr.predictor", "monai_tavr.networks", "monai_tavr.phantom"]),
        ("visualize", ["monai_tavr.dicom.open", "monai_tavr.predictor", "torch", "monai"]),
    ],
)
def test_imports_point_one_way(below, above):
    assert sorted(i for i in imports(FILES[below]) if belongs_to(i, *above)) == []


def test_nothing_below_the_commands_imports_them():
    for name, path in FILES.items():
        if not name.startswith("commands") and name != "cli":
            assert not any(belongs_to(i, "monai_tavr.cli", "monai_tavr.commands") for i in imports(path)), name


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


def test_every_module_lists_its_public_names():
    for name, path in FILES.items():
        listed, _ = top_level(path)
        defined = {
            n.name for n in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(n, ast.FunctionDef | ast.ClassDef)
        }
        assert listed is not None or not {n for n in defined if not n.startswith("_")}, f"{name} has no __all__"
