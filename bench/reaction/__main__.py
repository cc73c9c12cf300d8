"""`python -m bench.reaction`: how long after a decision the canary has its last customer."""

import asyncio

from bench.reaction import endtoend, flood, receiver, router, siege


async def main() -> None:
    """Every part in turn."""
    await router.main()
    await receiver.main()
    await flood.main()
    await siege.main()
    await endtoend.main()


if __name__ == "__main__":
    asyncio.run(main())
