"""Which version served whoever a row is of, where the row itself does not say it.

In comes an event of the policy (its `unit`, `identity`, the assignments' section), or a customer and a moment. Out goes
SQL that tells the version in the statement itself (`versions`, `identities`), or a version that is told afterwards:
from the router's hash or its tag (`routed`), or from what is kept of its log (`logged`).
"""
