"""The report of one rollout: what happened, what the KPIs said, who was affected, what to look at next.

In come the journal's entries and what Prometheus remembers (`gather`); in between lie plain facts (`facts`, `advice`);
out goes the same report as HTML, Markdown and JSON (`html`, `markdown`, `data`), in files that are whole or not there
(`files`). It is part of the domain and not of the command, because receiver and exporter write reports as well.
"""
