"""Takes a page's picture with a headless Chromium."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

_COLOURS = 128
"""Flat colours and a few gradients: so many cannot be told from all, and make a picture a third as large."""

# Without a screen, as root in a container, and without asking anybody on the network.
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip


def take(html: Path, png: Path, width: int, height: int) -> None:
    """Write the page's picture, over one that is there already.

    Raises:
        RuntimeError: Chromium is missing or took no picture.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise RuntimeError("chromium is not installed (Debian: apt-get install chromium); it takes the pictures")
    png.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="canary-preview-") as folder:
        argv = [chromium, *_FLAGS, f"--user-data-dir={folder}/profile", f"--window-size={width},{height}"]
        argv += [f"--screenshot={png.resolve()}", html.resolve().as_uri()]
        # It also writes next to its profile: into the home and into the folder for temporary files.
        surroundings = {**os.environ, "HOME": folder, "TMPDIR": folder}
        result = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60, env=surroundings)
    if not png.exists():
        raise RuntimeError(f"chromium took no picture of {html}: {result.stderr[-500:]}")
    reduce(png)


def reduce(png: Path, *, most: int | None = None) -> None:
    """Give a picture a palette, since few colours are used: the file becomes a third as large.

    Args:
        most: how many rows of it are kept, from the top; all when missing.
    """
    with Image.open(png) as picture:
        kept = picture.crop((0, 0, picture.width, min(most or picture.height, picture.height)))
        small = kept.convert("RGB").quantize(_COLOURS)
    small.save(png, optimize=True)


def height_of(html: str) -> int:
    """How tall the page is, from its own markup."""
    found = re.search(r'<main style="height:(\d+)px">', html)
    return int(found[1]) + 56 if found else 1000
