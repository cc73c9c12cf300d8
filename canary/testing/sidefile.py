"""A file next to the journal, in memory: it outlives the process that writes it, as long as its disk does."""

import json

from canary.rollout.store.sidefile import SideFile
from canary.threads import InlineThreads


class Disk:
    """What a machine keeps while its programs come and go.

    Attributes:
        files: their texts, by name.
    """

    def __init__(self) -> None:
        self.files: dict[str, str] = {}


class MemorySideFile(SideFile):
    """One file of a disk."""

    def __init__(self, disk: Disk, name: str) -> None:
        super().__init__(None, InlineThreads())
        self._disk = disk
        self._name = name

    async def read(self) -> object:
        """What was written last."""
        text = self._disk.files.get(self._name)
        return None if text is None else json.loads(text)

    async def write(self, data: object) -> None:
        """Replace it."""
        self._disk.files[self._name] = json.dumps(data)
