"""What tests use is what set-up installs, and no leftover of somebody's environment."""

from scripts.lints.required import foreign, plugins, required

_OWNERS = {"yaml": ["PyYAML"], "left": ["left_over"], "canary": ["kpi-canary"]}
_KNOWN = required("pyyaml==6.0 \\\n    --hash=sha256:0\nKPI.canary==1\n")


def test_an_import_that_nobody_requires_is_told_with_its_line() -> None:
    """In both forms of an import; what is required, ours, Python's own or not installed is not."""
    text = "import os\nimport yaml.nodes\nimport left.over\nfrom left import x\nfrom canary import y\nimport nowhere\n"

    found = list(foreign("tests/test_a.py", text, _OWNERS, _KNOWN))

    what = "is of left-over, which is not required"
    assert found == [f"tests/test_a.py:3: left.over {what}", f"tests/test_a.py:4: left {what}"]


def test_a_plugin_that_nobody_requires_is_told() -> None:
    """Its marks and fixtures need no import."""
    assert any(line.startswith("hypothesis: a plugin of pytest") for line in plugins({"pytest-asyncio"}))
    assert not any(line.startswith("hypothesis:") for line in plugins({"hypothesis"}))
