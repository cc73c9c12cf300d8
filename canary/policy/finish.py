"""The policy's way of finishing a release: what the servers run, and how their traffic returns to them."""

from typing import Annotated, Literal

from pydantic import Field

from canary.policy.values.types import PositiveSeconds, RequestHeader, Text, Timeout, Weight, section


@section
class Probe:
    """How one server is asked which version it runs; give `header` or `json`."""

    path: Text = "/"
    """Path of the question, with a query where one is needed."""
    scheme: Literal["http", "https"] = "http"
    header: RequestHeader | None = None
    """Name of the response header that holds the version, such as `X-Version`."""
    json: Text | None = None
    """Field of the JSON answer that holds the version, such as `version`, or `build.version` for one further inside."""
    timeout: Timeout = 2


@section
class Finish:
    """How a promoted release is finished: the stable servers get the new version, and then their traffic back."""

    steps: Annotated[tuple[Weight, ...], Field(min_length=1, max_length=100)] = (0.25, 0.5, 1)
    """Share of the customers that is back on the stable servers, step by step; the last one is 100%."""
    duration: PositiveSeconds = 120
    """How long each step lasts at least, the last one included: then the canary's process is stopped."""
    remind: PositiveSeconds = 72 * 3600
    """When a promoted release is not finished after this long, `CanaryReleaseUnfinished` fires."""
