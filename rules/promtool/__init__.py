"""promtool unit tests, generated from the policy for its own rules."""

from rules.promtool.files import test_files, tests

__all__ = ["test_files", "tests"]
