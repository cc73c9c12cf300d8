"""Structured logs: one line per event on standard error, in logfmt or JSON, with the same keys in both.

The message is constant and the fields vary (`log.info("refreshed", rows=3)`), so that lines of one kind are found by
one text. Fields travel in the standard library's records: what our dependencies log comes out in the same form, and no
logging library is needed. Whatever a field holds stays on its line: everything unprintable is escaped, because values
come from metrics and requests, and a line break in one must not forge a second line.
"""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO

# What `--log.level` and `--log.format` take, as at Prometheus and its exporters.
LEVELS = ("debug", "info", "warn", "error")
FORMATS = ("logfmt", "json")

# Python's names for levels where Prometheus has others.
_NAMES = {"WARNING": "warn", "CRITICAL": "error"}
# Where the fields are in a record: a name that neither the standard library nor a dependency uses.
_FIELDS = "canary_fields"


class Log:
    """A logger whose calls take fields: `log.info("refreshed", rows=3)`."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"canary.{name}")

    def debug(self, message: str, **fields: object) -> None:
        """What helps to understand this program."""
        self._write(logging.DEBUG, message, fields)

    def info(self, message: str, **fields: object) -> None:
        """What an administrator reads back later."""
        self._write(logging.INFO, message, fields)

    def warn(self, message: str, **fields: object) -> None:
        """What somebody should look at."""
        self._write(logging.WARNING, message, fields)

    def error(self, message: str, *, exception: BaseException | None = None, **fields: object) -> None:
        """What did not work; with *exception*, its traceback follows where the level is debug."""
        if exception is not None:
            fields = {**fields, "error": exception}
        self._write(logging.ERROR, message, fields, exception)

    def _write(
        self, level: int, message: str, fields: Mapping[str, object], exception: BaseException | None = None
    ) -> None:
        shown = exception if self._logger.isEnabledFor(logging.DEBUG) else None
        self._logger.log(level, "%s", message, extra={_FIELDS: fields}, exc_info=shown, stacklevel=3)


def configure(level: str = "info", form: str = "logfmt", stream: IO[str] | None = None) -> None:
    """Send all logs of this process, libraries included, to *stream* (standard error) in one form.

    Args:
        level: one of `LEVELS`.
        form: one of `FORMATS`.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Formatter(as_json=form == "json"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel({"warn": "WARNING"}.get(level, level.upper()))
    # Their lines at info are about themselves, several at each query or picture.
    for chatty in ("aiosqlite", "asyncio", "sqlalchemy", "matplotlib"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def configured() -> tuple[str, str]:
    """Level and form of this process' logs, for one that shall log in the same way."""
    root = logging.getLogger()
    as_json = any(isinstance(one.formatter, _Formatter) and one.formatter.as_json for one in root.handlers)
    name = logging.getLevelName(root.level)
    return _NAMES.get(name, name.lower()), "json" if as_json else "logfmt"


class _Formatter(logging.Formatter):
    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self.as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": _NAMES.get(record.levelname, record.levelname.lower()),
            "source": f"{record.name.removeprefix('canary.')}:{record.lineno}",
            "msg": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        if self.as_json:
            return json.dumps({key: _plain(value) for key, value in fields.items()}, ensure_ascii=False)
        return " ".join(f"{key}={_quoted(_plain(value))}" for key, value in fields.items())


def _plain(value: object) -> object:
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}" if str(value) else type(value).__name__
    return str(value)


def _quoted(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) or value is None else str(value)
    if text and text.isprintable() and not any(character in text for character in ' ="'):
        return text
    return json.dumps(text, ensure_ascii=False)
