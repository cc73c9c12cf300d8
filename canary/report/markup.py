"""HTML as nested calls: every text is escaped unless it is markup already, so that no label can become an element."""

import html

_EMPTY = frozenset({"img", "input", "link", "meta", "base", "br", "rect", "line", "circle", "path"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | int | float | None


def tag(name: str, /, *children: Child, **attributes: Child | bool) -> Markup:
    """One element. Attributes: `class_` is written `class`, `aria_label` is `aria-label`; None is none."""
    written = ""
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        word = key.rstrip("_").replace("_", "-")
        written += f" {word}" if value is True else f' {word}="{html.escape(str(value))}"'
    if name in _EMPTY:
        return Markup(f"<{name}{written}>" if name not in ("rect", "line", "circle", "path") else f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """Several pieces one after the other; None is nothing."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else html.escape(str(child)) for child in children if child is not None
        )
    )
