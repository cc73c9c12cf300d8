"""The tests of harm, one per kind of KPI: cohorts or rows of both versions come in, a trajectory of evidence goes out.

Each knows one question (are fewer converted, is the mean lower, is the floor undercut, does the split fit) and nothing
of KPIs, thresholds or verdicts.
"""
