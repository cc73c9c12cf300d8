"""The wheel and the sdist, built as for a release."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def build(folder: Path, source: Path = ROOT) -> Path:
    """*folder*, with the wheel and the sdist of what git knows."""
    argv = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(argv, cwd=source, check=True, capture_output=True)
    return folder


def unpack(built: Path, folder: Path) -> Path:
    """The folder that the sdist unpacks to, below *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["tar", "-xzf", str(next(built.glob("*.tar.gz"))), "-C", str(folder)], check=True)
    [source] = [path for path in folder.iterdir() if path.is_dir()]
    return source
