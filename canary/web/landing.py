"""The page at `/` of a service that has none of its own."""

import html
from collections.abc import Mapping
from typing import Final

from canary.web.metrics import VERSION

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:50em;margin:2em auto;padding:0 1em;color:#222;background:#fff}"
    "th{text-align:left;padding-right:1em;vertical-align:top}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}a{color:#8bf}}"
)


def landing_page(name: str, status: Mapping[str, str], telemetry_path: str) -> str:
    """The page at `/`: what this is, its version, its state, and where everything else is."""
    rows = "".join(f"<tr><th>{html.escape(key)}</th><td>{html.escape(text)}</td></tr>" for key, text in status.items())
    links = "".join(
        f'<li><a href="{html.escape(path)}">{html.escape(text)}</a></li>'
        for path, text in (
            (telemetry_path.lstrip("/"), "Metrics"),
            ("-/healthy", "Health"),
            ("-/ready", "Readiness"),
        )
    )
    title = f"kpi-canary {html.escape(name)}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"</head><body><h1>{title}</h1><p>Version {VERSION}</p>"
        f"<ul>{links}</ul><table>{rows}</table></body></html>\n"
    )
