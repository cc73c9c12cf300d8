"""Envoy, by its runtime values: `section` is what a policy says, `config` the generated bootstrap with its `routes`,
`ring` which users the weights give the canary, `admin` one instance's admin interface, `driver` sets and reads back.

`kind` registers the whole.
"""
