"""Names of a package that are loaded when they are first asked for: importing the package stays cheap."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["look_up_in"]


def look_up_in(package: str, modules: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """What a package calls ``__getattr__`` (PEP 562).

    Args:
        package: its ``__name__``.
        modules: module below the package -> the names that it defines.

    Returns:
        Name -> the object; it raises AttributeError for a name that no module defines.
    """
    places = {name: module for module, names in modules.items() for name in names}

    def look_up(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{places[name]}"), name)

    return look_up
