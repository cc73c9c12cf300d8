"""The page about the simulator: what it shows works."""

import subprocess
import sys
from pathlib import Path

from tests.support.documents.pages import DOCS, blocks_of


def test_the_example_of_a_contract_runs(tmp_path: Path) -> None:
    """As copied from the page into a file."""
    (block,) = [block for block in blocks_of(DOCS / "operate" / "simulation.md") if block.language == "python"]
    file = tmp_path / "example.py"
    file.write_text(block.text, encoding="utf-8")
    subprocess.run([sys.executable, str(file)], check=True, cwd=DOCS.parent)
