"""`python -m bench.backtest`: how long `canary backtest` takes for 300 rollouts of a shop with 200 visits a minute."""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import results
from bench.backtest import shop

ROLLOUTS, PER_MINUTE = 300, 200.0


def main() -> None:
    """Write the database, replay, record the time."""
    with tempfile.TemporaryDirectory() as folder:
        database, rollouts, policy = (Path(folder) / name for name in ("shop.db", "rollouts.csv", "canary.yaml"))
        shop.write(database, rollouts, ROLLOUTS, PER_MINUTE, harm_every=10)
        policy.write_text(f"service: shop\ndatabase: {{url: 'sqlite:///{database}'}}\n")
        argv = [str(Path(sys.executable).with_name("canary")), "backtest", "--config.file", str(policy)]
        argv += ["--rollouts", str(rollouts), "--format", "json"]
        start = time.monotonic()
        found = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
        seconds = time.monotonic() - start
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    backs = sum('"verdict": "fail", "kpi"' in line for line in found)
    cpu = f"{spent.ru_utime + spent.ru_stime:.1f} s of CPU on all cores together"
    results.record(
        "Backtest",
        "python -m bench.backtest",
        f"{len(found)} rollouts of 40 minutes with {PER_MINUTE:,.0f} visits a minute, six KPIs, SQLite:"
        f" {seconds:.1f} s, {cpu}. Every tenth lost 20 % of its payments; {backs} would have been rolled back.",
    )
    print(f"{seconds:.1f} s")


if __name__ == "__main__":
    main()
