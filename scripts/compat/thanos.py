"""The demo's stack with Thanos: a Prometheus that only scrapes, its sidecar, Query, and Ruler for the rules."""

from demo.stack.processes import find_program
from demo.stack.stack import Stack
from scripts.compat.programs import BY_NAME
from scripts.compat.scraping import scrape_file


class ThanosStack(Stack):
    """As docs/mimir-thanos-victoriametrics.md has it: Query answers for all, and shows the ruler's rules and alerts."""

    more = ("scraper", "sidecar", "sidecar-grpc", "query-grpc", "ruler", "ruler-grpc")

    async def _open_prometheus(self) -> None:
        await self._open_scraper()
        await self._thanos(
            "sidecar",
            f"--tsdb.path={self.places.file('prometheus-data')}",
            f"--prometheus.url={self.places.url('scraper')}",
        )
        await self._open_ruler()
        await self._thanos(
            "query",
            f"--endpoint={self.places.address('sidecar-grpc')}",
            f"--endpoint={self.places.address('ruler-grpc')}",
            "--query.replica-label=replica",
            "--endpoint.info-timeout=5s",
            http="prometheus",
        )

    async def _open_scraper(self) -> None:
        # A sidecar refuses a Prometheus whose series could be anybody's.
        file = scrape_file(self.places, self._generated, cluster="demo", replica="a")
        await self._processes.start(
            "scraper",
            [
                find_program(*BY_NAME["prometheus"].files),
                f"--config.file={file}",
                f"--storage.tsdb.path={self.places.file('prometheus-data')}",
                f"--web.listen-address={self.places.address('scraper')}",
                "--log.level=warn",
            ],
        )
        await self._processes.ready("scraper", f"{self.places.url('scraper')}/-/ready", self.session)

    async def _open_ruler(self) -> None:
        rules = self.places.file("rules")
        await self.canary("generate", "--target", "thanos", "--output", str(rules))
        await self._thanos(
            "rule",
            f"--data-dir={self.places.file('ruler-data')}",
            f"--rule-file={rules}/thanos/*.yml",
            f"--query={self.places.address('prometheus')}",
            f"--alertmanagers.url={self.places.url('alertmanager')}",
            '--label=ruler="a"',
            "--alert.label-drop=ruler",
            "--resend-delay=5s",
            http="ruler",
        )

    async def _thanos(self, component: str, *arguments: str, http: str = "") -> None:
        part = http or component
        grpc = {"rule": "ruler-grpc"}.get(component, f"{component}-grpc")
        await self._processes.start(
            part,
            [
                *(find_program(*BY_NAME["thanos"].files), component, *arguments, "--log.level=warn"),
                f"--http-address={self.places.address(part)}",
                f"--grpc-address={self.places.address(grpc)}",
            ],
        )
        await self._processes.ready(part, f"{self.places.url(part)}/-/ready", self.session)
