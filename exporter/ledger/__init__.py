"""What has been counted: exact sums per event, time bucket and version, and the newest rows as they are.

In come the streams of `exporter.source`; out go totals that never fall (`totals`), the rows of the trailing window
(`table`), and a state file that carries both across a restart. `feed` keeps one stream up to date, `reconciler`
compares what was counted with the table again.
"""
