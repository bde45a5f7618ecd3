"""What the server offers: methods and paths, and the role that each takes. All else is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["SAFE_METHODS", "Offer", "find_offer"]

SAFE_METHODS = ("GET", "HEAD")  # they change nothing
_NAME = "[A-Za-z0-9_-]{1,64}"  # of a model, a strategy, a method
_ID = "[A-Za-z0-9._-]{1,128}"  # of an image, a version of a model


@dataclass(frozen=True)
class Offer:
    """Paths that one role may ask for.

    Args:
        methods: of HTTP.
        paths: the whole path, percent-decoded.
        role: the least role that it takes; None = nobody need be logged in.
    """

    methods: tuple[str, ...]
    paths: re.Pattern[str]
    role: str | None


def _offer(role: str | None, methods: str, *paths: str) -> Offer:
    return Offer(tuple(methods.split()), re.compile("|".join(paths), re.DOTALL), role)


_OFFERS = (
    _offer(None, "GET HEAD", r"/favicon\.ico", "/tavr/login(/oidc|/callback)?", "/auth/?"),
    _offer(None, "POST", "/tavr/login", "/tavr/logout", "/auth/token"),
    _offer(
        "annotator",
        "GET HEAD",
        r"/|/openapi\.json",
        "/(ohif|static|dicomweb|tavr|datastore)(/.*)?",
        "/(info|train|scoring|batch/infer)/?",
        "/auth/token/valid",
    ),
    _offer("annotator", "POST", f"/(infer|activelearning)/{_NAME}", f"/scoring(/|/{_NAME})?", f"/tavr/track/{_ID}"),
    _offer("annotator", "PUT", f"/tavr/labels/{_ID}", "/datastore/label"),
    _offer("reviewer", "POST", f"/train/({_NAME})?", f"/batch/infer/{_NAME}"),
    _offer("reviewer", "DELETE", "/(train|batch/infer)/?"),
    _offer("admin", "POST", f"/tavr/models/{_ID}/activate"),
    _offer("admin", "DELETE", "/datastore/label"),
)


def find_offer(method: str, path: str) -> Offer | None:
    """The offer that a request asks for, or None where there is none."""
    return next((offer for offer in _OFFERS if method in offer.methods and offer.paths.fullmatch(path)), None)
