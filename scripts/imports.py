"""Checks the import directions of the house: rooms import the heart, never each other; the heart imports no room.

The command line (canary/cli) may import rooms, but only inside functions, so that `canary --help` stays quick.
"""

import ast
import sys
from pathlib import Path

ROOMS = {"exporter", "rules", "alertmanager", "grafana"}
FREE = {"demo", "bench", "tests"}
ROOT = Path(__file__).resolve().parent.parent


def imported(node: ast.AST) -> list[str]:
    """Top-level package names that one import statement brings in."""
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module.split(".")[0]]
    return []


def faults(path: Path) -> list[str]:
    """The import statements of one file that break a direction, as printable lines."""
    package = path.relative_to(ROOT).parts[0]
    command_line = path.relative_to(ROOT).parts[:2] == ("canary", "cli")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top_level = {id(node) for node in tree.body}
    found = []
    for node in ast.walk(tree):
        for name in imported(node):
            lazy = command_line and id(node) not in top_level
            foreign = (name in ROOMS | FREE) and name != package
            if foreign and not lazy:
                found.append(
                    f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}: {package} imports {name}; "
                    f"rooms import only canary, and canary/cli imports rooms inside functions"
                )
    return found


def main() -> int:
    """Exit status 1 when a direction is broken."""
    found = [
        line
        for package in sorted({"canary"} | ROOMS)
        for path in sorted((ROOT / package).rglob("*.py"))
        for line in faults(path)
    ]
    sys.stdout.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
