"""The log says where something failed, and nothing that an exception quotes."""

from __future__ import annotations

import logging
import sys

import pytest

from label_app.lib.web.discreet_log import DiscreetFormatter

PATH = "/studies/Doe_John.dcm"


def fail(path: str) -> None:
    try:
        raise FileNotFoundError(2, "No such file", path)
    except FileNotFoundError as error:
        raise RuntimeError(f"{path} is damaged") from error


def test_a_traceback_without_words() -> None:
    with pytest.raises(RuntimeError) as caught:
        fail(PATH)
    told = (caught.type, caught.value, caught.tb)
    record = logging.LogRecord("label_app", logging.ERROR, __file__, 1, "a request failed", (), told)
    line, *traceback = DiscreetFormatter().format(record).splitlines()
    assert line.endswith("ERROR label_app: a request failed")
    assert "Doe" not in "".join(traceback)
    assert [t for t in traceback if not t.startswith(" ")] == ["RuntimeError", "followed from:", "FileNotFoundError"]
    assert any(f'"{__file__}", line' in t and "in fail" in t for t in traceback)


def test_a_hidden_cause_stays_hidden() -> None:
    try:
        try:
            raise KeyError("secret")
        except KeyError:
            raise ValueError("words") from None
    except ValueError:
        text = DiscreetFormatter().formatException(sys.exc_info())
    assert text.endswith("ValueError")
    assert "KeyError" not in text
    assert "followed from" not in text
