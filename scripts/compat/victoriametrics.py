"""The demo's stack with VictoriaMetrics in the place of Prometheus, and vmalert for its rules."""

from demo.stack.processes import find_program
from demo.stack.stack import Stack
from scripts.compat.programs import BY_NAME
from scripts.compat.scraping import scrape_file


class VictoriaStack(Stack):
    """As docs/mimir-thanos-victoriametrics.md has it: one address answers for both, and nothing is evaluated late."""

    more = ("vmalert",)

    async def _open_prometheus(self) -> None:
        rules = self.places.file("rules")
        await self.canary("generate", "--target", "victoriametrics", "--output", str(rules))
        file = scrape_file(self.places, self._generated)
        vmalert = self.places.address("vmalert")
        await self._processes.start(
            "prometheus",
            [
                find_program(*BY_NAME["victoria-metrics"].files),
                f"-httpListenAddr={self.places.address('prometheus')}",
                f"-storageDataPath={self.places.file('victoria-data')}",
                f"-promscrape.config={file}",
                f"-vmalert.proxyURL=http://{vmalert}",
                "-search.latencyOffset=0s",
            ],
        )
        await self._processes.ready("prometheus", f"{self.places.url('prometheus')}/-/healthy", self.session)
        database = self.places.url("prometheus")
        await self._processes.start(
            "vmalert",
            [
                find_program(*BY_NAME["vmalert"].files),
                f"-rule={rules}/victoriametrics/*.yml",
                f"-httpListenAddr={vmalert}",
                f"-datasource.url={database}",
                f"-remoteRead.url={database}",
                f"-remoteWrite.url={database}",
                f"-notifier.url={self.places.url('alertmanager')}",
                "-remoteWrite.flushInterval=200ms",
            ],
        )
        await self._processes.ready("vmalert", f"http://{vmalert}/-/ready", self.session)
