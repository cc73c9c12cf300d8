"""kpi-canary's domain, and its public Python interface: the names in `__all__`, and no others.

* `load_policy(path)` reads and validates a `canary.yaml` and gives a `Policy`; every fault at once is a `PolicyError`.
* `CanaryError` is the base of everything that kpi-canary raises on purpose, with `place`, `what` and `remedy`.
* `__version__` is the installed version.

These follow the changelog's promise: they change only with a major version. Whatever else can be imported is ours to
move. A program that gives commands to a rollout uses the receiver's HTTP interface (docs/reference/api.md) or the
command line with `--format json`; both are promises too, and so is to a router kind of one's own what
docs/routers/plugins.md imports.
"""

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canary.errors import CanaryError
    from canary.policy import Policy, load_policy

__all__ = ["CanaryError", "Policy", "__version__", "load_policy"]

__version__ = version("kpi-canary")

_HOMES = {"CanaryError": "canary.errors", "Policy": "canary.policy", "load_policy": "canary.policy"}
"""Public name -> its module, imported when somebody asks: every command imports this package, few need a policy."""


def __getattr__(name: str) -> Any:
    """Fetch a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
