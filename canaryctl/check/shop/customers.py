"""Whether rows name customers whom the judge can take for units, on the side on which the router's hash put them.

The unit of every test is the customer. Rows that name none count each by itself, and then one customer's retries look
like many failures. And the judge's exact half draws the router's hash again: it only holds where rows put customers
elsewhere (`exporter.source.assignments.agreement`). Nobody should learn of either from a rollout that went wrong.
"""

from collections.abc import Iterator

from canary.errors import CanaryError, DatabaseError, DatabaseUnavailableError
from canary.finding import Finding, ok, warning
from canary.policy import Policy
from canary.rollout.folding import fold
from canary.rollout.journal.journal import Journal
from canary.rollout.state import Rollout
from canary.timing.clock import Clock
from canary.units import format_ratio
from canaryctl.check.state import unborn
from exporter.evidence.verdict import MOST_SIDES_APART
from exporter.judge.shop.dispersion import MOSTLY
from exporter.source.assignments.agreement import SideAgreement
from exporter.source.columns.values import NO_ID, id_number
from exporter.source.consistency.newest import FIRST_PARENT, UNIT, VERSION, NewestRows, Where, newest_rows, shown
from exporter.source.database import Session

_ROWS = 5_000
"""Of 5 % of the customers some hundreds, read within a second."""
_FEW = 20
"""Of fewer rows no share is told."""
_NAMELESS = 0.05
"""A cookie that some customers refuse; with more the judge begins to see rows instead of customers."""


def nameless(one: NewestRows) -> Iterator[Finding]:
    """Whether rows name their customer where the policy says that they do, or come from a row that may."""
    unnamed = sum(
        id_number(row[UNIT]) == NO_ID and all(parent is None for parent in row[FIRST_PARENT:]) for row in one.rows
    )
    if one.event.unit is None or len(one.rows) < _FEW or unnamed <= _NAMELESS * len(one.rows):
        return
    share, limit = (format_ratio(round(part, 3)) for part in (unnamed / len(one.rows), _NAMELESS))
    what = f"{share} of the newest {len(one.rows)} rows name no customer ({one.event.unit} is NULL or empty)"
    remedy = "write it in every row, or name a column that has it: as it is each of these rows counts as a customer"
    if unnamed > MOSTLY * len(one.rows):
        remedy += ", and proven harm only holds"
    yield warning(one.at("unit"), f"{what}, expected at most {limit}", remedy)


async def check_sides(policy: Policy, session: Session, clock: Clock, where: Where, entry: str | None) -> list[Finding]:
    """What the rows of *entry*, the event with which customers come in, say; nothing where nothing is to be compared.

    Raises:
        DatabaseUnavailableError: there is no connection.
    """
    agreement = SideAgreement.of(policy, entry) if entry in policy.database.events else None
    rollout = None if agreement is None else await _divided(policy)
    if entry is None or agreement is None or rollout is None:
        return []
    divided = [number for number, weight in enumerate(rollout.weights) if 0.0 < weight.ratio < 1.0]
    ends = [weight.since.timestamp() for weight in rollout.weights[divided[-1] + 1 :]]
    since, now = rollout.weights[divided[0]].since.timestamp(), clock.now().timestamp()
    try:
        about = (policy, session, entry, policy.database.events[entry], where, now)
        one = await newest_rows(*about, since=since, until=min([*ends, now]), most=_ROWS)
    except DatabaseUnavailableError:
        raise
    except DatabaseError:  # told of already
        return []
    agreement.know(rollout)
    rows = zip(one.rows, one.moments, strict=True)
    agreement.see((row[UNIT], moment, row[VERSION] and shown(row[VERSION])) for row, moment in rows)
    apart = agreement.apart_ratio
    if apart is None:
        return []
    place = one.at("unit")
    if apart <= MOST_SIDES_APART:
        return [ok(place, f"rows and the router's hash agree on who was on the canary in rollout {rollout.id}")]
    what = (
        f"{format_ratio(round(apart, 3))} of the canary's customers in rollout {rollout.id} are on another side by"
        f" their rows than by the router's hash, expected at most {format_ratio(MOST_SIDES_APART)}"
    )
    remedy = "leave testers out, and see that rows say which version served them: until then the exact test only holds"
    return [warning(place, what, remedy)]


async def _divided(policy: Policy) -> Rollout | None:
    """The newest rollout in which both versions had customers; None where the journal has none, or cannot be read."""
    try:
        if unborn(policy):
            return None
        async with Journal.open(policy) as journal:
            rollouts = fold(await journal.entries()).values()
    except CanaryError:  # `state` says it
        return None
    divided = [one for one in rollouts if any(0.0 < weight.ratio < 1.0 for weight in one.weights)]
    return max(divided, key=lambda one: one.started_at, default=None)
