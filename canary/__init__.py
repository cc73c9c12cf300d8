"""The heart of kpi-canary: the policy, names, the rollout and its journal, the traffic routers, the command line."""

from importlib.metadata import version

__version__ = version("kpi-canary")
