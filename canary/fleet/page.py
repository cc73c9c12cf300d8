"""The list of services at `/` of a process that serves several."""

from collections.abc import Mapping, Sequence
from typing import Any

from canary.report.markup import Markup, join, tag
from canary.web.metrics import VERSION

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222;background:#fff}"
    "th,td{text-align:left;padding:.2em 1em .2em 0;vertical-align:top}.fault{white-space:pre-line}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}a{color:#8bf}}"
)


def services_page(name: str, services: Sequence[Mapping[str, Any]]) -> str:
    """The page: one line for each service, and one for each policy that cannot be served."""
    columns = list(dict.fromkeys(key for one in services for key in one["status"] if key != "Service"))
    title = f"kpi-canary {name}: {len(services)} services"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("title", title),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("style", _STYLE),
    )
    body = tag(
        "body",
        tag("h1", title),
        tag("p", f"Version {VERSION}. ", tag("a", "Metrics of all", href="metrics")),
        tag(
            "table",
            tag("thead", tag("tr", *(tag("th", column, scope="col") for column in ("Service", *columns, "Trouble")))),
            tag("tbody", *(_row(one, columns) for one in services)),
        ),
    )
    return "<!doctype html>\n" + tag("html", head, body, lang="en") + "\n"


def _row(one: Mapping[str, Any], columns: Sequence[str]) -> Markup:
    name = tag("a", one["service"], href=one["path"]) if one["running"] else join(one["service"], " (not running)")
    fault = join(one["file"], ": ", one["fault"]) if one["fault"] else None
    cells = [tag("td", one["status"].get(column, "")) for column in columns]
    return tag("tr", tag("th", name, scope="row"), *cells, tag("td", fault, class_="fault"))
