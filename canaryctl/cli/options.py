"""Options that several commands share."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from canary.timing.clock import SystemClock
from canary.timing.times import from_text
from canary.units import format_size, parse_duration, parse_size

config_file = click.option(
    "--config.file",
    "config_file",
    default="canary.yaml",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="The policy.",
)

config_files = click.option(
    "--config.file",
    "config_files",
    default=["canary.yaml"],
    show_default=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="The policy; several times, or a folder, for several services.",
)


def several(config_files: Sequence[Path]) -> bool:
    """Whether a service is to serve several policies: more than one file is named, or a folder."""
    return len(config_files) > 1 or config_files[0].is_dir()


def format_option(*former: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--format text|json`; *former* are values that earlier versions took, which old scripts may go on giving."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(["text", "json", *former]),
        metavar="[text|json]",
        default="text",
        show_default=True,
        help="How to print.",
    )


output_format = format_option()


class _Duration(click.ParamType[float]):
    """A duration, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """From `90s`, `2h30m`."""
        if isinstance(value, float):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class ByteSize(click.ParamType[int]):
    """A size, in bytes.

    Args:
        least: less makes no sense.
    """

    name = "size"

    def __init__(self, least: int) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """From `512MiB`, `2GiB`."""
        if isinstance(value, int):
            return value
        try:
            size = parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if size < self._least:
            self.fail(f"expected at least {format_size(self._least)}, found {value}", param, ctx)
        return size


class _Moment(click.ParamType[datetime]):
    """A moment, or how long it is until then."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """From `3h`, `2026-12-24 18:00` (UTC) or `2026-12-24T18:00+01:00`."""
        if isinstance(value, datetime):
            return value
        try:
            return SystemClock().now() + timedelta(seconds=parse_duration(value))
        except (ValueError, OverflowError):
            try:
                return from_text(value)
            except (ValueError, OverflowError):
                self.fail(
                    f"expected a duration such as 3h, or a time such as 2026-12-24T18:00, found {value!r}", param, ctx
                )


def moment_option(name: str, *, help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # noqa: A002  # click's word
    """An option that is a moment."""
    return click.option(name, type=_Moment(), help=help)


def duration_option(name: str, *, default: str, help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # noqa: A002  # as above
    """An option that is a duration, given in seconds."""
    return click.option(name, type=_Duration(), default=default, show_default=True, help=help)
