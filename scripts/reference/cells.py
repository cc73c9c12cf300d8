"""What all tables of the references are made of."""

from typing import Any

Schema = dict[str, Any]
"""A part of a JSON schema, or of OpenAPI's description."""


def cell(text: str) -> str:
    """The text as a table's cell: a bar would end it."""
    return text.replace("|", "\\|")
