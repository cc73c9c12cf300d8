"""A real Alertmanager in a temporary folder, on a free port."""

from tests.support.web.server import Server


class Alertmanager(Server):
    """One server without peers; `with` starts and ends it.

    Args:
        configuration: The text of alertmanager.yml.
        port: Where it listens; a free one when missing.
    """

    def __init__(self, configuration: str, port: int | None = None) -> None:
        arguments = ["--storage.path={folder}/data", "--cluster.listen-address="]
        super().__init__("prometheus-alertmanager", configuration, arguments, port)
