"""What makes files of this repository from its code, and its own lints; nothing here is part of the distribution.

`golden` renews what generators write (with `reference`, `manpage`, `commands`), `rules` and `lengths` are lints of
`make lint`, `preview` draws the dashboards, `mutation` looks for faults that no test notices, `sbom` lists what runs.
"""
