"""How long after a decision the canary has its last customer.

In come a router under load (`load`, `router`), the receiver before it (`receiver`), whoever besieges that (`flood`,
`siege`), and the demo's whole chain (`endtoend`); out go the seconds from each link to the next.
"""
