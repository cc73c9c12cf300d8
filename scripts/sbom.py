"""`python -m scripts.sbom FILE`: the bill of materials of what runs, by CycloneDX's own tool.

It is made of `requirements/run.txt`, so it names exactly what an installation has, with the hashes that it was verified
by, and not what happens to be in the environment of whoever makes it. Nothing in it depends on when or where it was
made: two of one state are equal.
"""

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


def write(file: Path) -> None:
    """Write the bill of materials.

    Raises:
        subprocess.CalledProcessError: the tool could not.
    """
    tool = [sys.executable, "-m", "cyclonedx_py", "requirements", str(_ROOT / "requirements" / "run.txt")]
    form = ["--pyproject", str(_ROOT / "pyproject.toml"), "--output-reproducible", "--output-format", "JSON"]
    subprocess.run([*tool, *form, "--output-file", str(file)], check=True)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
