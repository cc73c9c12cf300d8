"""Finds words of our own where the field has one: in documentation, comments, docstrings and messages.

Whoever comes from Prometheus, Kubernetes or a payments team should not have to learn a second vocabulary for what they
know. The list holds only what can be told apart by itself: `order` is a person's command in one sentence and a shop's
order in the next, and no pattern knows which. What stands in `code` is a name, and names on the wire stay as they are.
"""

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

WORDS: Final[Mapping[str, str]] = {
    r"gi(?:ve|ves|ven|ving) (?:an )?orders?": "give a command",
    r"can be ordered": "is possible (actions)",
    r"keepers?": "router controller",
    r"lookouts?": "alert poller",
    r"wish(?:es)?": "proposed transition",
    r"advancer": "promoter",
    r"turn(?:s|ed)? (?:a|the|his|her|their) key": "confirm",
    r"heart of": "core",
    r"evidence (?:is |of )?10\^": "e-value 10^...",
    r"another share of": "sample ratio mismatch",
    r"canary's share(?! (?:of|is above))": "canary's traffic weight",
    r"(?:people|nobody|somebody|everybody|operators|recipients) (?:is|are|was|were) told": "notified",
    r"untold": "pending (notifications)",
    r"mend(?:s|ed|ing)?": "repair",
    r"(?:two|three|four|five|ten|of|more|many|few|\d+) tries": "attempts",
    r"noted": "recorded",
    r"forgiv(?:e|es|en|ing)": "acknowledge, override",
    r"lifts (?:by )?itself": "resumes automatically",
    r"beg(?:in|ins|an|un|inning) anew|beg(?:ins|an|un|inning) again": "restart",
    r"beside": "next to, alongside",
    r"way of a rollback|rollback's way": "rollback path",
    r"cannot be asked": "is unreachable",
    r"cannot be seen": "name what is missing",
    r"(?:do|does) not get through": "is not complete, is not delivered",
    r"behind (?:our|its|the receiver's) back": "externally",
    r"on trial": "being judged",
    r"who wants to": "whoever wants to; or say it to the reader",
    r"phase 0\b": "phases are counted from 1",
    # Figures of speech, which whoever learned English from manuals reads word by word.
    r"rules? of thumb": "simple rule",
    r"to the letter": "as it is written",
    r"to the rescue": "by hand, in an emergency",
    r"at the till": "at the checkout",
    r"under the hood|behind the scenes": "inside",
    r"out of the box": "without configuration",
    r"in a nutshell": "in short",
    r"on the fly": "while it runs",
}
"""What is not written, as an expression of whole words, and what is written instead."""

_ALL = re.compile("|".join(rf"\b(?:{words})(?![a-z])" for words in WORDS), re.IGNORECASE)
_CODE = re.compile(r"`[^`\n]*`|\]\([^)\s]*\)|\['\w+'\]")
_FENCE = re.compile(r"^ *(```|~~~)")
_DOCUMENTS = (".md", ".libsonnet", ".jsonnet", ".yaml", ".service")

# What happened under older names is told by these names; and this file has to name what it forbids.
_UNREAD = (
    "CHANGELOG.md",
    "scripts/lints/prose.py",
    "tests/scripts/lints/test_prose.py",
    "tests/golden/",
    "node_modules/",
)


def prose_of(path: str, text: str) -> Iterator[tuple[int, str]]:
    """Every piece of a file that people read, with the number of its first line; code in it is blanked out."""
    if path.endswith(".py"):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            is_text = token.type == tokenize.STRING or token.type == getattr(tokenize, "FSTRING_MIDDLE", -1)
            # A word alone is a value; people read sentences.
            if token.type == tokenize.COMMENT or (is_text and " " in token.string.strip()):
                yield token.start[0], _CODE.sub(_blank, token.string)
    elif path.endswith(_DOCUMENTS):
        fenced = False
        for number, line in enumerate(text.splitlines(), 1):
            if path.endswith(".md") and _FENCE.match(line):
                fenced = not fenced
            elif not fenced:
                yield number, _CODE.sub(_blank, line)


def faults(path: str, text: str) -> Iterator[str]:
    """What should be said otherwise, as `path:line: ...`."""
    for number, piece in prose_of(path, text):
        for found in _ALL.finditer(piece):
            line = number + piece[: found.start()].count("\n")
            yield f"{path}:{line}: {found[0]!r}: {_better(found[0])}"


def _better(words: str) -> str:
    return next(better for pattern, better in WORDS.items() if re.fullmatch(pattern, words, re.IGNORECASE))


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found[0])


def main() -> int:
    """Exit status 1 when a word of our own was found."""
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout.splitlines()
    files = [path for path in listed if not path.startswith(_UNREAD) and Path(path).is_file()]
    wanted = [path for path in files if path.endswith((".py", *_DOCUMENTS))]
    found = [line for path in wanted for line in faults(path, Path(path).read_text(encoding="utf-8"))]
    sys.stdout.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
