"""The world in memory: stand-ins for everything that a rollout meets, for simulations and for tests of drivers.

Each stand-in keeps the promises of the part that it stands for, and no more: a router without a socket, a journal
without a database, a Prometheus that is told what fires. Hooks run before and after whatever is done to it, so that
whoever uses it decides what is slow, unreachable, or cut off in the middle; the stand-ins hold no faults of their own.

* `loop.VirtualLoop` runs code in virtual time, in an order drawn from a seed; `loop.Machine` is what can be killed or
  paused as a whole within it.
* `clock.FakeClock` stands still until it is moved; `clock.VirtualClock` follows the loop, with a skew, a drift and
  jumps of its own.
* `routers.MemoryRouter`, `process.MemoryProcess`, `targets.MemoryTargets`, `journal.MemoryJournal`.
* `prometheus.MemoryPrometheus`, `alertmanager.MemoryAlertmanager` behind `http.MemoryHttp`.
* `contract` holds what every router, process manager and journal must do: drivers of third parties can be held against
  it.
"""
