"""Evaluates the jsonnet of the mixins: rules and dashboards alike."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import _jsonnet

from canary.errors import GenerateError


def evaluate(path: Path, arguments: Mapping[str, Any]) -> Any:
    """What the function in the jsonnet file *path* gives for *arguments*, as plain Python data.

    Numbers come back as Python writes them (jsonnet itself prints 0.8 as 0.80000000000000004).

    Raises:
        GenerateError: the file cannot be evaluated; the message is jsonnet's own, with its trace.
    """
    codes = {name: json.dumps(value) for name, value in arguments.items()}
    try:
        text = _jsonnet.evaluate_file(str(path), tla_codes=codes)
    except RuntimeError as error:
        raise GenerateError(f"{path}: jsonnet could not be evaluated: {error}") from error
    return json.loads(text)
