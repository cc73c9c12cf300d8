"""Lints the committed rules of every golden policy with our own lint."""

import sys

from rules.generate import rule_groups
from rules.lint import lint
from scripts import golden


def main() -> int:
    """Exit status 1 when a rule has a problem."""
    found = [
        f"{name}: {problem}"
        for name in golden.POLICIES
        for problem in lint(
            golden.policy(name), [g for file in rule_groups(golden.policy(name)).values() for g in file["groups"]]
        )
    ]
    sys.stdout.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
