"""What pydantic says about a policy, as faults that a person can act upon: file, line, key, what, remedy.

pydantic's own messages name Python's types and every form of a union that did not fit. Here each kind of error gets the
words that fit a YAML file, the text as it stands there, and a hint when something near it exists.
"""

import difflib
from collections.abc import Iterable, Sequence

from pydantic_core import ErrorDetails

from canary.errors import Fault
from canary.policy.reading.document import Document, Location
from canary.policy.routers.kinds import router_kinds
from canary.policy.schema import keys_at
from canary.policy.values.scalars import UnfitError, shown

_EXPECTATIONS = {
    "string_type": "expected text",
    "bool_type": "expected true or false",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "dataclass_type": "expected a section with keys",
    "dict_type": "expected a section with keys",
    "tuple_type": "expected a list",
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
    "greater_than": ("more than", "gt"),
    "less_than": ("less than", "lt"),
}


def fault_of(document: Document, detail: ErrorDetails) -> Fault:
    """One of pydantic's errors as a fault of the file."""
    location = in_file(document, detail["loc"])
    context = detail.get("ctx", {})
    match detail["type"]:
        case "unexpected_keyword_argument":
            return document.fault(location, "unknown key", did_you_mean(str(location[-1]), keys_at(detail["loc"])))
        case "missing" | "missing_argument" | "missing_keyword_only_argument":
            return document.fault(location, "is required and missing")
        case "union_tag_not_found":
            return document.fault(location, "needs a key `kind`")
        case "union_tag_invalid":
            location = (*location, "kind")
            broken = router_kinds().broken.get(document.sources.get(location, "")) if location[0] == "router" else None
            if broken:
                return document.fault(location, broken, "repair or remove the plug-in; a receiver needs every router")
            return document.fault(location, *_choice(str(context["expected_tags"]), document.sources.get(location)))
        case "string_pattern_mismatch" if detail["loc"][-1] == "[key]":
            location = location[:-1]
            return document.fault(location, f"the name {shown(location[-1])} does not fit {context['pattern']}")
    return document.fault(location, *_value(detail, document.sources.get(location)))


def _value(detail: ErrorDetails, found: str | None) -> tuple[str, str]:
    """What is wrong with a value, and what to do; *found* is its text in the file, when it is a scalar."""
    kind, context = detail["type"], detail.get("ctx", {})
    match kind:
        case "literal_error":
            return _choice(str(context["expected"]), found)
        case "value_error":
            error = context["error"]
            return (error.what, error.remedy) if isinstance(error, UnfitError) else (str(error), "")
        case "string_pattern_mismatch":
            return f"found {shown(found)}, which does not fit {context['pattern']}", ""
        case "string_type" if found is not None:
            text = f"expected text, found {found}, which YAML reads as something else"
            return text, f'write it quoted: "{found}"'
        case "too_short":
            return "needs at least one entry", ""
        case "too_long":
            return f"has more than {context['max_length']} entries", ""
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"must be {words} {context[bound]:g}, found {found}", ""
    text = _EXPECTATIONS.get(kind, detail["msg"][:1].lower() + detail["msg"][1:])
    return (text if found is None else f"{text}, found {shown(found)}"), ""


def _choice(wanted: str, found: str | None) -> tuple[str, str]:
    options = [option.strip(" '") for option in wanted.replace(" or ", ",").split(",")]
    return f"expected {wanted}, found {shown(found)}", did_you_mean(found or "", options, listed=False)


def did_you_mean(word: str, options: Iterable[str], *, listed: bool = True) -> str:
    """The nearest of the options, else all of them, as a remedy."""
    known: Sequence[str] = sorted(options)
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known are {', '.join(known)}" if listed and known else ""


def of_another_branch(document: Document, detail: ErrorDetails) -> bool:
    """Whether an error belongs to a form of the value that the file does not use (text where it has a section)."""
    branch = str(detail["loc"][-1])
    scalar = in_file(document, detail["loc"]) in document.sources
    if (branch.startswith(("str", "constrained-str", "function-")) and detail["type"] == "string_type") or (
        branch.startswith("literal[")
    ):
        return not scalar
    sections = ("UrlGate", "Freeze", "PrometheusServer", "AlertmanagerServer")
    return branch in sections or (branch.startswith("dict[") and scalar)


def in_file(document: Document, loc: tuple[str | int, ...]) -> Location:
    """pydantic's location without union tags: only steps that the file has, and a last one that it may lack."""
    unwrap = isinstance(document.data.get("router"), dict)
    place: Location = ()
    forms = ("str", "constrained-str", "function-", "literal[", "dict[")
    if loc not in document.lines and str(loc[-1]).startswith(forms):
        loc = loc[:-1]
    for index, step in enumerate(loc):
        if unwrap and place == ("router",) and step == 0:
            continue
        if (*place, step) in document.lines or index == len(loc) - 1:
            place = (*place, step)
    return place
