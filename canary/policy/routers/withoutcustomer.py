"""The policy's names for requests that no customer makes."""

from canary.policy.values.types import PathPrefix, RequestHeader, section


@section
class WithoutCustomer:
    """Requests that no customer makes, such as payment providers' calls: on stable below 100 %, then with everybody."""

    paths: tuple[PathPrefix, ...] = ()
    """What their paths begin with, such as `/webhooks/`."""
    headers: tuple[RequestHeader, ...] = ()
    """Names of headers that only they have, such as `Stripe-Signature`."""
