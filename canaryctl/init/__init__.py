"""`canary init`: from an unknown order database to a first policy.

In come the database's tables; out go a proposed mapping (`proposal`) and a commented `canary.yaml` (`starter`).
"""
