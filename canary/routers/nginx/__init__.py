"""nginx, by marker files.

`config` is the generated configuration with its `upstreams`, `markers` the files that it looks at, `check` whether the
running one can see them, `driver` sets and reads back.
"""
