"""The whole loop under simulation: receivers that are real, in a world made of memory, from one seed.

Everything that decides and acts is the product's own code: the receivers' workers, the rollout store, leadership, the
reconcilers, the outbox, the reporter, the clients of Prometheus and Alertmanager. What they meet is `canary.testing`,
in a loop with virtual time, under faults that are drawn from the seed. After every event the checkers look whether a
promise was broken. `make simulate SEEDS=1000` runs many worlds, `make simulate SEED=n` one again, with its story.

* `stories` say what will happen: who starts what, which faults come when.
* `faults` carries them out.
* `hosts` runs the receivers; `lead` is the database's lock that they compete for.
* `network` lies between a receiver and the rest: latency, partitions, answers that get lost.
* `surroundings` is the world around them: `shop`, `fleet`, `monitoring`, `operators`.
* `truth` knows what really is; `checks` compares: `decisions` the entries, `routing` the traffic, `telling` the
  messages; `promises` is what they share.
* `plans` and `life` put more people into a story.
* `world` puts it together and carries out the story; `run` runs seeds, shrinks what fails, and reports.
* `reverts` undoes known fixes in a scratch copy, and shows that the simulator finds each.
"""
