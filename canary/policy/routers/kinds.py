"""The kinds of traffic router that a policy may name: ours, and those of installed plug-ins, by one registry.

A kind is an entry point of the group `kpi_canary.routers`: its name is what stands at `router.kind`, its object a
`RouterKind`, which holds what the other parts must know: the section's keys, who drives it, how finely it divides.
Ours stand in a table of the same entry points, so that a checkout and an installation whose metadata is older know
them too; they are loaded no other way. The drivers are above the policy, which names them and does not import them.

Other people's code must not keep a receiver from rolling back: a plug-in that cannot be loaded is left out, and is a
fault only of the policy that names it. Nor can one take the place of a kind that is there already.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, Final, Literal, Protocol, get_args, get_origin, get_type_hints

from pydantic import GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from canary.policy.finish import Probe
from canary.policy.release import Testers, Upstreams

GROUP: Final = "kpi_canary.routers"

_OWN: Final[Mapping[str, str]] = {
    "haproxy": "canary.routers.kinds:HAPROXY",
    "nginx": "canary.routers.kinds:NGINX",
    "command": "canary.routers.kinds:COMMAND",
    "traefik": "canary.routers.traefik.kind:TRAEFIK",
    "envoy": "canary.routers.envoy.kind:ENVOY",
    "gateway": "canary.routers.gateway.kind:GATEWAY",
}

_COMMON: Final = frozenset({"kind", "name", "upstreams", "probe", "testers", "timeout"})


class RouterSection(Protocol):
    """What the section of every kind has, besides its own keys; made by `canary.policy.values.types.section`."""

    @property
    def kind(self) -> str:
        """The kind's name, a `Literal` in the section."""
        ...

    @property
    def name(self) -> str:
        """How messages and the journal call this router."""
        ...

    @property
    def upstreams(self) -> Upstreams:
        """Addresses of the two versions."""
        ...

    @property
    def probe(self) -> Probe | None:
        """How each server is asked which version it runs."""
        ...

    @property
    def testers(self) -> Testers:
        """Who reaches the canary whatever their place."""
        ...

    @property
    def timeout(self) -> float:
        """How long the router may take to answer, in seconds."""
        ...


def _nothing(_section: Any) -> Iterable[tuple[str, str, str]]:
    return ()


def _never(_section: Any) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class RouterKind:
    """One kind of router.

    Args:
        section: Its section in the policy: a `RouterSection` made by `canary.policy.values.types.section`.
        driver: Makes a `canary.routers.base.Router` of a section, and of what makes a thread given a name. It imports
            what it needs when it is called, for every command of `canary` loads the kinds.
        parts: Into how many equal parts it divides the users; a weight between two is a fault. 0: any weight will do.
        steps: How a message calls such a part: `whole percents`.
        remedy: What to do about a weight between two parts.
        faults: What contradicts itself within a section: the key, what is wrong, what to do.
        assigns: Whether the version of a user can be computed, for `database.assignments: {from: router}`.
        asks: Whether the section's router asks the receiver for what it is to have in force; its driver is then a
            `canary.routers.asking.AskingRouter` too.
    """

    section: type[RouterSection]
    driver: Callable[..., Any]
    parts: int = 10_000
    steps: str = "hundredths of a percent"
    remedy: str = "round it"
    faults: Callable[[Any], Iterable[tuple[str, str, str]]] = _nothing
    assigns: bool = True
    asks: Callable[[Any], bool] = _never


@dataclass(frozen=True)
class Kinds:
    """The kinds that can be used, and by name what is wrong with those that cannot."""

    usable: Mapping[str, RouterKind]
    broken: Mapping[str, str]


def asking(routers: Iterable["RouterSection"]) -> bool:
    """Whether a router of the policy asks the receiver, which must then be reached by it."""
    return any(router_kinds().usable[one.kind].asks(one) for one in routers)


@functools.cache
def router_kinds() -> Kinds:
    """All kinds, ours and plug-ins'; what is installed is looked up once in a process."""
    return kinds_of(entry_points(group=GROUP))


def kinds_of(plugins: Iterable[EntryPoint]) -> Kinds:
    """Our kinds and those of some entry points."""
    usable = {name: _load(EntryPoint(name, value, GROUP)) for name, value in _OWN.items()}
    broken: dict[str, str] = {}
    offers: dict[str, set[EntryPoint]] = {}
    for plugin in plugins:
        offers.setdefault(plugin.name, set()).add(plugin)
    for name, points in offers.items():
        if name in usable:  # ours stay what they are, whoever offers another
            continue
        if len(points) > 1:
            broken[name] = f"several plug-ins offer it: {', '.join(sorted(point.value for point in points))}"
            continue
        point = next(iter(points))
        try:
            kind = _load(point)
            TypeAdapter(kind.section)
        except Exception as error:  # noqa: BLE001  # importing a plug-in runs somebody else's code
            broken[name] = f"the plug-in {point.value} cannot be loaded: {type(error).__name__}: {error}"
        else:
            usable[name] = kind
    return Kinds(usable, broken)


def _load(point: EntryPoint) -> RouterKind:
    """The kind behind an entry point.

    Raises:
        TypeError: it is no kind, or its section lacks what every section has.
    """
    kind = point.load()
    if not isinstance(kind, RouterKind):
        raise TypeError(f"expected a RouterKind, found {type(kind).__name__}")
    if not is_dataclass(kind.section):
        raise TypeError("expected a section made by canary.policy.values.types.section")
    if missing := _COMMON - {field.name for field in fields(kind.section)}:
        raise TypeError(f"its section lacks {', '.join(sorted(missing))}")
    said = get_type_hints(kind.section)["kind"]
    if get_origin(said) is not Literal or get_args(said) != (point.name,):
        raise TypeError(f"expected `kind: Literal[{point.name!r}]` in its section, found {said!r}")
    return kind


class _Forms:
    """For pydantic: a router's section has the form that its kind has."""

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        forms = {name: handler.generate_schema(kind.section) for name, kind in router_kinds().usable.items()}
        return core_schema.tagged_union_schema(forms, discriminator="kind")


Router = Annotated[RouterSection, _Forms()]
"""An entry of the policy's `router`."""
