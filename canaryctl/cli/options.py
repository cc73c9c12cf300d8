"""Options that several commands share."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from canary.timing import zones
from canary.timing.clock import SystemClock
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


_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def format_option(*former: str) -> _Decorator:
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


def one_of(flag: str, name: str, values: Iterable[str], about: str, *, multiple: bool = False) -> _Decorator:
    """An option for one of many, which `--help` lists in its text; next to the flag they would pass 80 columns."""
    words = list(map(str, values))
    about = f"{about} One of {', '.join(words)}."
    return click.option(flag, type=click.Choice(words), metavar=name, multiple=multiple, help=about)


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
    """A moment, without a zone where none is typed: which is the shop's, the policy says (`in_the_shops_zone`).

    Args:
        durations: whether it may be said as well how long it is until then.
    """

    name = "time"

    def __init__(self, *, durations: bool) -> None:
        self._durations = durations

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """From `3h`, `2026-12-24 18:00`, `2026-12-24T18:00+01:00` or `2026-12-24 18:00 Europe/Berlin`."""
        if isinstance(value, datetime):
            return value
        if self._durations:
            try:
                return SystemClock().now() + timedelta(seconds=parse_duration(value))
            except (ValueError, OverflowError):
                pass  # not a duration, so a time
        try:
            return zones.typed(value)
        except zones.UnclearMomentError as error:
            self.fail(str(error), param, ctx)
        except ValueError:
            either = "a duration such as 3h, or a time" if self._durations else "a time"
            self.fail(f"expected {either} such as 2026-12-24T18:00, found {value!r}", param, ctx)


def moment_option(
    name: str,
    *,
    help: str,  # noqa: A002  # click's word
    durations: bool = True,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that is a moment; *durations* says whether it may be given as a time from now as well."""
    return click.option(name, type=_Moment(durations=durations), metavar="TIME", help=help)


def in_the_shops_zone(at: datetime, zone: str, option: str) -> datetime:
    """The moment that an option means, in UTC: where none is typed, the zone is the shop's.

    Raises:
        BadParameter: there is no such moment in it, or two.
    """
    try:
        return zones.settled(at, zone)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(str(error), param_hint=option) from error


def looked_back_from(until: datetime | None, zone: str) -> datetime:
    """What `--until` means to a command that studies the past, which is told; now without it.

    Raises:
        BadParameter: there is no such moment in the shop's zone, or two.
    """
    if until is None:
        return SystemClock().now()
    moment = in_the_shops_zone(until, zone, "--until")
    # Not in the result's own stream: that is a table, or JSON for a program.
    click.echo(zones.in_zone(f"Looking back from {zones.moment(moment, seconds=False)}.", zone), err=True)
    return moment


def duration_option(name: str, *, default: str, help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # noqa: A002  # as above
    """An option that is a duration, given in seconds."""
    return click.option(name, type=_Duration(), default=default, show_default=True, help=help)
