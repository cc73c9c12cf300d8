"""promtool's unit tests for a policy's own rules, written next to them so that whoever changes a rule sees what breaks.

In come a policy and its rules, out come test files. `table` says per alert what is given, `scenes` what is then
expected; `world` makes series of it, and `render` writes them down.
"""

from rules.promtool.render import test_files
from rules.promtool.scenes import scenarios

__all__ = ["scenarios", "test_files"]
