"""The names of canary/names.py for jsonnet: constants that are text, by their own name, and the panels of alerts."""

from canary import names


def names_libsonnet() -> str:
    """The text of `lib/names.libsonnet`."""
    constants = {key: value for key, value in vars(names).items() if key.isupper() and isinstance(value, str)}
    lines = [f"  {key}: '{value}'," for key, value in constants.items()]
    panels = [
        f"    {alert}: {{ dashboard: '{dashboard}', id: '{names.panel_id(title)}' }},"
        for alert, (dashboard, title) in names.ALERT_PANELS.items()
    ]
    lines += ["  ALERT_PANELS: {", *panels, "  },"]
    return "\n".join(["// Made from canary/names.py by `make golden`.", "{", *lines, "}", ""])
