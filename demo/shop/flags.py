"""The shop's feature flag: who gets the express checkout, asked of the receiver by OpenFeature's own SDK."""

import asyncio

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

FLAG = "expressCheckout"
STANDARD = "standard"
EXPRESS = "express"
# A shop does not keep its customers waiting for a flag; without an answer everybody has the standard checkout.
PATIENCE_SECONDS = 0.5

_BETA_USERS = "beta_users"

POLICY = {
    FLAG: {
        "follow_rollout": True,
        "groups": [_BETA_USERS],
        "variants": {STANDARD: STANDARD, EXPRESS: EXPRESS},
        "default": STANDARD,
        "treatment": EXPRESS,
    }
}
"""The policy's `flags` section, as far as the shop asks for it."""


def groups(user: str) -> list[str]:
    """A customer's groups; it stands for the list of those who signed up as beta users, one in sixteen."""
    return [_BETA_USERS] if user.startswith("0") else []


class CheckoutFlag:
    """Asks again for every checkout, so that a rollback is seen by the next customer.

    Args:
        receiver_url: where the receiver listens.
        token: one of its `receiver.flags_token_file`.
        patience_seconds: how long a customer waits for it.
    """

    def __init__(self, receiver_url: str, token: str, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        headers = {"Authorization": f"Bearer {token}"}
        provider = OFREPProvider(receiver_url, headers_factory=lambda: headers, timeout=patience_seconds)
        # The receiver is on this machine, whatever proxy the environment names.
        provider.session.trust_env = False
        api.set_provider_and_wait(provider, receiver_url)
        self._client = api.get_client(receiver_url)

    async def variant(self, user: str) -> str:
        """The user's checkout: `standard` or `express`; `standard` when there is no answer in time."""
        context = EvaluationContext(user, {"groups": groups(user)})
        try:
            async with asyncio.timeout(self._patience_seconds):  # the client's own begins only when a thread is free
                return await asyncio.to_thread(self._client.get_string_value, FLAG, STANDARD, context)
        except TimeoutError:
            return STANDARD
