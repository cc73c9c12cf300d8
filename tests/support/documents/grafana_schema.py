"""Holds a dashboard to Grafana's own schema, as its Python SDK has it, more strictly than the SDK does itself.

The SDK drops keys that it does not know and believes every value. So what it reads is written back and compared, and
every value is held against the type that the SDK declares for it.
"""

import enum
import json
import sys
import types
import typing
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # the SDK prefers the second schema, which Grafana 10 lacks
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

register_default_plugins()


def faults(dashboard: dict[str, Any]) -> list[str]:
    """Everything in a dashboard that the schema does not know or that has another type."""
    read = Dashboard.from_json(dashboard)
    back = json.loads(json.dumps(read, cls=JSONEncoder))
    return [*_lost(dashboard, back, "dashboard"), *_mistyped(read, Dashboard, "dashboard")]


def _lost(written: Any, back: Any, place: str) -> Iterator[str]:
    """What was written and did not come back; the SDK's own defaults may be added."""
    if isinstance(written, dict) and isinstance(back, dict):
        for key, value in written.items():
            if key in back:
                yield from _lost(value, back[key], f"{place}.{key}")
            elif value is not None:
                yield f"{place}.{key}: not known to the schema"
    elif isinstance(written, list) and isinstance(back, list) and len(written) == len(back):
        for index, (mine, its) in enumerate(zip(written, back, strict=True)):
            yield from _lost(mine, its, f"{place}[{index}]")
    elif written != back:
        yield f"{place}: wrote {written!r}, read {back!r}"


def _mistyped(value: Any, hint: Any, place: str) -> Iterator[str]:
    """Where a value is not what its type hint says."""
    if hint in (object, typing.Any) or _is(value, hint):
        yield from _attributes(value, place) if _is_model(type(value)) else ()
    elif typing.get_origin(hint) in (typing.Union, types.UnionType):
        tries = [list(_mistyped(value, option, place)) for option in typing.get_args(hint)]
        yield from () if not all(tries) else min(tries, key=len)
    elif (items := _items(value, hint)) is not None:
        for key, item in items:
            yield from _mistyped(item, typing.get_args(hint)[-1], f"{place}[{key}]")
    elif _is_model(hint) and isinstance(value, dict):
        # Left as it was by the SDK; read it here.
        read = hint.from_json(value)
        yield from _lost(value, json.loads(json.dumps(read, cls=JSONEncoder)), place)
        yield from _attributes(read, place)
    else:
        yield f"{place}: expected {hint}, found {value!r}"


def _items(value: Any, hint: Any) -> Iterable[tuple[Any, Any]] | None:
    """Keys and items of a list or mapping that the hint calls one; None for everything else."""
    if typing.get_origin(hint) is list and isinstance(value, list):
        return enumerate(value)
    if typing.get_origin(hint) is dict and isinstance(value, dict):
        return value.items()
    return None


def _is(value: Any, hint: Any) -> bool:
    """Whether a plain value, an enumeration's member or an object of the SDK is what the hint says."""
    if hint is type(None):
        return value is None
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return isinstance(value, str | int) and value in [member.value for member in hint]
    return isinstance(hint, type) and isinstance(value, hint)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and hasattr(kind, "from_json")


def _attributes(model: Any, place: str) -> Iterator[str]:
    hints = typing.get_type_hints(type(model), vars(sys.modules[type(model).__module__]))
    for name, hint in hints.items():
        value = getattr(model, name, None)
        if value is not None:
            yield from _mistyped(value, hint, f"{place}.{name}")
