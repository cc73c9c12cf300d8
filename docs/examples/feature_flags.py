"""Asks the receiver for a user's feature flag: `python feature_flags.py USER [GROUP]` prints which checkout they get.

Needs `pip install openfeature-sdk openfeature-provider-ofrep`, and the environment variables RECEIVER_URL and
FLAGS_TOKEN.
"""

import os
import sys

from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext


def flags_of(receiver_url: str, token: str) -> OpenFeatureClient:
    """The client that the whole application shares; it waits at most half a second for an answer."""
    headers = {"Authorization": f"Bearer {token}"}
    api.set_provider_and_wait(OFREPProvider(receiver_url, headers_factory=lambda: headers, timeout=0.5))
    return api.get_client()


def checkout(flags: OpenFeatureClient, user: str, group: str = "") -> str:
    """Which checkout a user gets: `new` or `old`; with the receiver down it is the old one."""
    context = EvaluationContext(user, {"group": group})
    return "new" if flags.get_boolean_value("newCheckoutFlow", False, context) else "old"


def variant(flags: OpenFeatureClient, user: str) -> str:
    """A user's variant of the experiment `checkoutFlow`, to be written into each of the user's rows."""
    return flags.get_string_value("checkoutFlow", "control", EvaluationContext(user))


if __name__ == "__main__":
    client = flags_of(os.environ["RECEIVER_URL"], os.environ["FLAGS_TOKEN"])
    print(f"checkout {checkout(client, *sys.argv[1:])}, variant {variant(client, sys.argv[1])}")
