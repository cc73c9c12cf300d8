"""Structured logs: the same keys in logfmt and in JSON."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from canary import logs
from canary.logs import Log


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def _written(form: str, level: str = "info") -> str:
    stream = io.StringIO()
    logs.configure(level, form, stream)
    log = Log("exporter")
    log.debug("not shown at info")
    log.info("refreshed", rows=3, quick=True, event="orders")
    log.error("it broke", exception=ValueError('a "bad" value\nin two lines'))
    return stream.getvalue()


def test_logfmt_is_one_line_per_event() -> None:
    """Values with spaces, quotes or line breaks are quoted, others are not."""
    first, second = _written("logfmt").splitlines()

    assert re.fullmatch(r"time=\S+Z level=info source=exporter:\d+ msg=refreshed rows=3 quick=true event=orders", first)
    assert "level=error" in second
    assert r'error="ValueError: a \"bad\" value\nin two lines"' in second


def test_json_has_the_same_keys() -> None:
    """Each line is an object, numbers stay numbers."""
    first, second = map(json.loads, _written("json").splitlines())

    assert first["msg"] == "refreshed"
    assert first["rows"] == 3
    assert first["quick"] is True
    assert second["error"].startswith("ValueError")


def test_debug_shows_tracebacks() -> None:
    """At level debug an error brings its traceback, in the same line."""
    lines = _written("json", "debug").splitlines()

    assert len(lines) == 3
    assert "ValueError" in json.loads(lines[-1])["traceback"]


def test_libraries_are_in_the_same_form() -> None:
    """What aiohttp or SQLAlchemy has to say comes in the same form."""
    stream = io.StringIO()
    logs.configure("warn", "json", stream)
    logging.getLogger("aiohttp.server").warning("careful %s", "now")
    Log("exporter").info("not shown at warn")

    assert json.loads(stream.getvalue())["msg"] == "careful now"
