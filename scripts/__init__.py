"""What makes files of this repository from its code, and its own lints; nothing here is part of the distribution.

`golden` renews what generators write (with `reference`, which has the man page too); `lints` are part of `make lint`;
`preview` draws the dashboards, `docsite` the documentation; `mutation` looks for faults that no test notices; `release`
and `sbom` make what is handed out.
"""
