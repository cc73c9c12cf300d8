"""Alertmanager's own file: from the policy to the routes by which alerts reach the receiver and people.

In comes a policy, and perhaps a configuration that is there already; out goes `alertmanager.yml` (`configuration`), or
the operator's `AlertmanagerConfig` (`kubernetes`).
"""
