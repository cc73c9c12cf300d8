"""The policy: one YAML file that says what is measured, judged, released and told to whom."""

from canary.policy.load import load_policy
from canary.policy.model import Policy

__all__ = ["Policy", "load_policy"]
