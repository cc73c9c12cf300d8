"""What must always hold, and what must hold in the end: each promise of the product, looked at from outside.

Safety is looked at whenever something happens: a router changes, an entry is written, a process is told to stop
(`routing`, `decisions`). What must happen in time is looked at once a second, while the world has been healthy for long
enough, and at the end (`routing`, `telling`).
"""

from simulation.checks.decisions import Decisions
from simulation.checks.routing import Routing
from simulation.checks.telling import Telling


class Checks(Decisions, Routing, Telling):
    """Holds the promises against what happens."""
