"""`python -m bench.fleet`: fifty services in one receiver and one exporter."""

import argparse
import asyncio

from bench.fleet import exporter, receiver

_SERVICES, _SECONDS = 50, 60.0


async def main(services: int, seconds: float) -> None:
    """Both in turn."""
    command = f"python -m bench.fleet --services {services} --seconds {seconds:g}"
    await receiver.main(services, seconds, command)
    await exporter.main(services, seconds, command)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--services", type=int, default=_SERVICES)
    arguments.add_argument("--seconds", type=float, default=_SECONDS, help="how long each is watched")
    given = arguments.parse_args()
    asyncio.run(main(given.services, given.seconds))
