"""Whether the order database has what both versions need, as the exporter last told Prometheus.

The receiver has no way into the order database, and is to have none: it acts, and the exporter reads. So who asks
before a rollout begins asks the series that `CanarySchemaIncompatible` is made of, and means the same by it.
"""

from canary import names
from canary.prometheus.client import Prometheus


async def schema_compatible(prometheus: Prometheus, service: str) -> bool | None:
    """Whether every table and column that the policy maps or requires is there; None when no exporter tells.

    Raises:
        RemoteError: Prometheus does not say.
    """
    found = await prometheus.query(f'max({names.SCHEMA_COMPATIBLE}{{{names.SERVICE}="{service}"}})')
    return found[0].value == 1 if found else None
