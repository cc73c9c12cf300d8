"""A first mapping of an order database: by its platform where that is known, guessed where it is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from canary.errors import CanaryError
from canaryctl.init.platform import Found, Platform, missing, platforms, recognise
from canaryctl.init.proposal import Proposed, judgeable
from canaryctl.init.reading import guess
from canaryctl.init.starter import mapping_of
from exporter.source.database import Session


@dataclass(frozen=True)
class Draft:
    """What `canary init` would write.

    Attributes:
        platform: None where the mapping is guessed.
        prefix: of the platform's tables.
        mapping: the text below `database:`.
        kpis: those of the strategy's six that can be measured.
        timezone: of the shop's times, where that is known.
        unread: the table of the platform's settings, where this user cannot read it.
        proposed: the guessed events; empty for a platform.
        versions: of the guessed events, sampled rows by version.
    """

    platform: Platform | None
    prefix: str
    mapping: str
    kpis: Sequence[str]
    timezone: str | None
    unread: str | None = None
    proposed: Sequence[Proposed] = ()
    versions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """Where the mapping comes from, in words."""
        if self.platform is None:
            return "Guessed by the names of tables and columns: look at each line."
        return f"{self.platform.title}: what counts and what does not, docs/platforms/{self.platform.name}.md"


async def draft(session: Session, wanted: str | None, prefix: str | None) -> Draft:
    """A mapping for what is in the database.

    Args:
        wanted: the platform's name, where somebody said it.
        prefix: that of its tables, where somebody said it.

    Raises:
        CanaryError: a platform was named whose tables are not there, or nothing looks like a shop.
        DatabaseError: the tables cannot be looked at.
    """
    known = platforms()
    if wanted is not None:
        return _of(await _named(session, known[wanted], prefix))
    found = [one for one in await recognise(session, list(known.values())) if prefix in (None, one.prefix)]
    if found:
        return _of(found[0])
    proposed, versions = await guess(session)
    kpis = judgeable(proposed)
    if not kpis:
        raise CanaryError(
            "no table looks like visits, carts, orders, payments or feedback",
            remedy="write the policy by hand, docs/your-database.md shows how",
        )
    return Draft(None, "", mapping_of(proposed), kpis, None, None, proposed, versions)


async def _named(session: Session, platform: Platform, prefix: str | None) -> Found:
    found = [one for one in await recognise(session, [platform]) if prefix in (None, one.prefix)]
    if found:
        return found[0]
    remedy = "give the tables' --prefix, and the user the right to read them"
    if session.dialect_name not in platform.engines:
        what, remedy = f"runs on {', '.join(platform.engines)}, this is {session.dialect_name}", "see --database"
    elif lacking := await missing(session, platform, platform.prefix if prefix is None else prefix):
        what = f"not there, or not to be read by this user: {', '.join(lacking)}"
    else:
        what, remedy = "its tables are there, and the shop's settings say that it uses others", "leave --platform out"
    raise CanaryError(what, place=platform.title, remedy=remedy)


def _of(found: Found) -> Draft:
    platform = found.platform
    mapping = platform.mapping(found.prefix)
    return Draft(platform, found.prefix, mapping, platform.kpis, found.timezone, found.unread)
