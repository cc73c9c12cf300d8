"""Evaluates the jsonnet of the mixins: rules and dashboards alike.

jsonnet is slow: a second for the rules, of which one `canary generate` needs up to three forms (Prometheus' files,
Kubernetes' objects, what the lint reads), and the tests hundreds. A mixin is a pure function of its files, which do not
change while a process runs, and of its arguments; so the text of its newest results is kept, and each caller gets data
of its own made from it.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import _jsonnet

from canary.errors import GenerateError

# Texts of 0.1 to 0.5 MB each: no command needs more than four (rules, rules written out, dashboards, and what a changed
# policy would give), and the tests come back to about twenty.
_KEPT = 24


def evaluate(path: Path, arguments: Mapping[str, Any]) -> Any:
    """What the function in the jsonnet file *path* gives for *arguments*, as plain Python data.

    Numbers come back as Python writes them (jsonnet itself prints 0.8 as 0.80000000000000004).

    Raises:
        GenerateError: the file cannot be evaluated; the message is jsonnet's own, with its trace.
    """
    return json.loads(_text(path, tuple((name, json.dumps(value)) for name, value in sorted(arguments.items()))))


@functools.lru_cache(maxsize=_KEPT)
def _text(path: Path, codes: tuple[tuple[str, str], ...]) -> str:
    try:
        return str(_jsonnet.evaluate_file(str(path), tla_codes=dict(codes)))
    except RuntimeError as error:
        raise GenerateError(f"jsonnet could not be evaluated: {error}", place=str(path)) from error
