"""HAProxy, by a map and its runtime socket.

`config` is the generated configuration, `mapfile` the map on disk, `socket` one instance's runtime API, `stat` what its
counters say, `driver` sets and reads back.
"""
