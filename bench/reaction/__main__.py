"""`python -m bench.reaction`: how long after a decision the canary has its last customer."""

import asyncio

from bench.reaction import router

if __name__ == "__main__":
    asyncio.run(router.main())
