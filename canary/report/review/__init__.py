"""What a review after a release asks besides the KPIs: the technical side, the money, and what others would have done.

Questions to Prometheus go in through `asking.Asking`; facts come out, which the renderers write down.
"""
