"""Several exporters in one process: each counts on in a file of its own."""

import json
from pathlib import Path

from canary.policy.model import Policy
from exporter.several import own_state_file


def test_a_service_goes_on_with_the_file_of_its_own_exporter_and_with_nobody_elses(tmp_path: Path) -> None:
    """What one exporter for one policy wrote is taken over by that service; the next has a file with its name."""
    (tmp_path / "state.json").write_text(json.dumps({"identity": "shop"}), encoding="utf-8")

    files = [own_state_file(Policy(service=name, base=str(tmp_path)), "state.json") for name in ("shop", "books")]

    assert files == ["state.json", "state-books.json"]
