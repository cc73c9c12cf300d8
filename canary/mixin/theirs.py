"""A configuration that a shop has already, to add ours to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from canary.errors import GenerateError
from canary.mixin.yamltext import load_as_written

_WHO_ASKS = {"basic_auth", "authorization", "oauth2"}
"""Of which Prometheus and Alertmanager take one."""


def read_theirs(path: Path) -> dict[str, Any]:
    """What is in an `alertmanager.yml` or `prometheus.yml`.

    Raises:
        GenerateError: it cannot be read, or is no mapping of sections.
    """
    try:
        data = load_as_written(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GenerateError(f"cannot be read ({error.strerror})", place=f"merge: {path}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # no text, no such day (2026-99-99), without end
        raise GenerateError(f"not valid YAML: {error}", place=f"merge: {path}") from error
    if not isinstance(data, dict):
        raise GenerateError("expected a mapping of sections such as `route:`", place=f"merge: {path}")
    return data


def parts_of(theirs: Mapping[str, Any], section: str, kind: type = dict) -> list[Any]:
    """The list that a section of theirs is; empty where there is none.

    Raises:
        GenerateError: it is no list, or one of something else than *kind*.
    """
    found = theirs.get(section) or []
    if not isinstance(found, list) or not all(isinstance(part, kind) for part in found):
        what = "mappings" if kind is dict else "texts"
        raise GenerateError(f"expected a list of {what}", place=f"merge: {section}")
    return found


def with_access(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """What gets into a part of ours by the policy, with what they have added to it.

    The policy knows the way to exporter and receiver, but no password, proxy or client's certificate that their own
    web configuration asks for.
    """
    known = ours.keys() | (_WHO_ASKS if ours.keys() & _WHO_ASKS else set())
    joined = {**ours, **{key: value for key, value in theirs.items() if key not in known}}
    if isinstance(there := theirs.get("tls_config"), dict):
        joined["tls_config"] = {**there, **ours.get("tls_config", {})}
    return joined
