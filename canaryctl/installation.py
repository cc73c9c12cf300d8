"""Notices that a package of ours is somebody else's file by now.

The packages have names as plain as `rules`, and other distributions use them too (django-rules installs a `rules`).
pip overwrites without a word, and what comes of it is an ImportError far from its cause, or worse, a module that does
something else. An environment of its own keeps kpi-canary from that, which pip cannot enforce; so every start looks,
before any of the other packages is imported.

The look costs a millisecond whatever else is installed, since it asks of our own folders only: is each of them next to
this one, does its `__init__.py` have the hash that our RECORD gives it, and does it hold nothing that RECORD does not
know? Only when one says no are all distributions read (a tenth of a second) to name the other one. Asking
`packages_distributions()` each time was tried: it reads the list of files of everything that is installed.
"""

import base64
import hashlib
import importlib.util
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from canary.errors import CanaryError

DISTRIBUTION = "kpi-canary"
PACKAGES = ("canary", "canaryctl", "exporter", "rules", "alertmanager", "grafana", "demo")
"""The top-level packages of the wheel, as `tool.hatch.build.targets.wheel` of pyproject.toml lists them."""

_REMEDY = "give kpi-canary an environment of its own (python3 -m venv), and install both anew"


def faults() -> list[CanaryError]:
    """One error for each top-level package that is not, or not only, this distribution's; usually none."""
    home = Path(__file__).resolve().parents[1]
    recorded = _recorded()
    owners: Mapping[str, list[str]] | None = None
    found = []
    for name in PACKAGES:
        folder = _folder(name)
        overwritten = folder is None or _changed(folder, recorded)
        if folder == home / name and not overwritten and not _strangers(folder, recorded):
            continue
        owners = packages_distributions() if owners is None else owners
        others = sorted({other for other in owners.get(name, []) if other != DISTRIBUTION})
        if folder != home / name:
            found.append(_shadowed(name, folder, home))
        elif others or overwritten:
            found.append(_shared(name, others, overwritten=overwritten))
    return found


def _recorded() -> dict[str, str]:
    """Path -> hash of each file that this distribution installed; empty for an editable one."""
    try:
        record = distribution(DISTRIBUTION).read_text("RECORD") or ""
    except PackageNotFoundError:
        return {}
    lines = (line.rsplit(",", 2) for line in record.splitlines())
    return {path: digest for path, digest, _ in lines if path.startswith(tuple(f"{name}/" for name in PACKAGES))}


def _folder(name: str) -> Path | None:
    """Where Python finds the package, without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).resolve().parent if spec is not None and spec.origin else None


def _changed(folder: Path, recorded: Mapping[str, str]) -> bool:
    digest = recorded.get(f"{folder.name}/__init__.py")
    if digest is None:
        return False
    content = hashlib.sha256((folder / "__init__.py").read_bytes()).digest()
    return digest != "sha256=" + base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _strangers(folder: Path, recorded: Mapping[str, str]) -> bool:
    """Whether something lies in the folder that RECORD does not know (an editable installation has no list)."""
    known = {path.split("/")[1] for path in recorded if path.startswith(f"{folder.name}/")}
    return bool(known) and any(entry.name not in known | {"__pycache__"} for entry in folder.iterdir())


def _shared(name: str, others: list[str], *, overwritten: bool) -> CanaryError:
    owner = f"the distribution {' and '.join(others)}" if others else "somebody who is no installed distribution"
    what = f"was overwritten by {owner}" if overwritten else f"belongs to {owner} too, and kpi-canary overwrote it"
    return CanaryError(what, place=f"package {name}", remedy=_REMEDY)


def _shadowed(name: str, folder: Path | None, home: Path) -> CanaryError:
    found = f"found it in {folder}" if folder else "did not find it"
    return CanaryError(
        f"expected it in {home / name}, {found}", place=f"package {name}", remedy=f"look at PYTHONPATH, or {_REMEDY}"
    )
