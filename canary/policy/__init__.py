"""The policy: one YAML file that says what is measured, judged, released and told to whom.

In comes the file; out goes a `Policy` of frozen dataclasses (`model`, and one module per section), or every fault of it
at once (`load`, `reading`). What a scalar may be is in `values`, and from there in the JSON `schema` too.
"""

from canary.policy.load import load_policy
from canary.policy.model import Policy

__all__ = ["Policy", "load_policy"]
