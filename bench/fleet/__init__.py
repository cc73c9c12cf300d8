"""Fifty services in one receiver (`receiver`) and one exporter (`exporter`), as `shops` makes them."""
