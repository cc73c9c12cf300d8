"""promtool, as it is installed."""

import subprocess
from pathlib import Path

from tests.support.programs.processes import ENVIRONMENT


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it to its end, however that comes out."""
    return subprocess.run(["promtool", *arguments], check=False, capture_output=True, text=True, env=ENVIRONMENT)
