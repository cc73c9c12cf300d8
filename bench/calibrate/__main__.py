"""`python -m bench.calibrate`: how long `canary calibrate` takes for 1,000 rollouts of a shop with 200 visits a minute.

Three minutes on two cores are the limit: longer, and nobody would measure before a release.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bench import results
from bench.backtest import shop

ROLLOUTS, PER_MINUTE, HOURS = 1000, 200.0, 6


def main() -> None:
    """Write six hours of a shop, calibrate on them, record the time."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database, policy = Path(folder) / "shop.db", Path(folder) / "canary.yaml"
        stretches = HOURS * 60 // shop.MINUTES
        shop.write(database, Path(folder) / "rollouts.csv", stretches, PER_MINUTE, every_seconds=60.0 * shop.MINUTES)
        policy.write_text(f"service: shop\ndatabase: {{url: 'sqlite:///{database}'}}\n")
        until = datetime.fromtimestamp(shop.FIRST + 3600.0 * HOURS, UTC).isoformat()
        argv = [str(Path(sys.executable).with_name("canary")), "calibrate", "--config.file", str(policy)]
        argv += ["--days", str(HOURS / 24), "--until", until, "--rollouts", str(ROLLOUTS), "--harmed", "0"]
        start = time.monotonic()
        found = json.loads(subprocess.run([*argv, "--format", "json"], check=True, capture_output=True).stdout)
        seconds = time.monotonic() - start
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = (spent.ru_utime + spent.ru_stime) / ROLLOUTS
    results.record(
        "Calibrate",
        "python -m bench.calibrate",
        f"{HOURS} hours of a shop with {PER_MINUTE:,.0f} visits a minute in SQLite, the default policy:"
        f" {seconds / 60:.1f} minutes for {ROLLOUTS:,} pseudo-rollouts, {cpu:.2f} s of processor time each;"
        f" 3 minutes are wanted on two cores. {found['rolled_back']} of them were rolled back"
        f" ({found['lower_ratio']:.1%} to {found['upper_ratio']:.1%}), {found['held']} held by a KPI,"
        f" {found['mismatched']} by a sample ratio mismatch.",
    )
    print(f"{seconds:.1f} s")


if __name__ == "__main__":
    main()
