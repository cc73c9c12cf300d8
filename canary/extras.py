"""The distribution's extras: what only some users need, and what is said when it is missing.

matplotlib is a quarter of all that is installed, and a receiver without it rolls back as well. Whoever needs an extra
asks for it here before the late import, so that a user reads what to install and not the name of a module.
"""

import importlib.util

from canary.errors import ExtraMissingError

_NEEDS = {"plots": "matplotlib", "demo": "openfeature"}
"""Extra of pyproject.toml -> the module that tells whether it is installed."""


def require(extra: str, purpose: str) -> None:
    """Make sure that an extra is installed.

    Args:
        extra: its name, as in `kpi-canary[plots]`.
        purpose: what cannot be done without it, as the sentence's subject.

    Raises:
        ExtraMissingError: it is not.
    """
    if importlib.util.find_spec(_NEEDS[extra]) is None:
        raise ExtraMissingError(
            f"needs the extra `{extra}`, which is not installed",
            place=purpose,
            remedy=f"install kpi-canary[{extra}] from where it came"
            f" (a folder: pip install '.[{extra}]'; a wheel: 'FILE.whl[{extra}]')",
        )
