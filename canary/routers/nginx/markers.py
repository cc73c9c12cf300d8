"""The marker files that one nginx host looks at: written, read back and removed, all by plain file calls.

    active -> steps/3387155958-25-x1/     the step in force
    steps/3387155958-25-x1/03 08 11 … tester

Each step is a folder of its own, complete before anything points to it, and `active` is swapped by one `rename`: at no
moment does nginx see half a step, nor none. (Creating and removing the markers in place would move users one by one,
and a receiver that is killed halfway would leave a weight that nobody asked for.) Removing the link is the whole
rollback: `unlink` needs no space, so it works on a full disk. Whatever is wrong when nginx looks (no folder, no link,
no right), its answer is *stable*.

With `router.slots` each bucket has a marker that says which slot it is on: `03` is on slot b, `a-03` on slot a. What
has none is on the recorded stable slot: b where the file `stable-b` lies next to the link, a where it does not. So the
rollback is the same `unlink`, whichever slot is the stable one, and a release is finished by recording the other. One
marker that said both, by being there or not, would be read wrongly by a request in the moment of the removal.

The name of a step tells the salt, so that the markers can be held against the order in which that rollout opens them:
a marker that was placed or removed by somebody else is found by reading back.
"""

import contextlib
import os
import pwd
import re
import shutil
import stat
import tempfile
import uuid
from pathlib import Path

from canary.policy.routers.slots import Slot
from canary.routers.base import Observation, Reading, Split
from canary.routers.bucket import NGINX_BUCKETS, nginx_order

# The marker that testers have instead of a bucket; no number, so that it cannot be taken for one.
TESTER = "tester"

# With slots: what the markers of slot a begin with, and the file that says that slot b is the stable one.
SLOT_A = "a-"
STABLE_B = "stable-b"
# The marker of what no customer asks for; there when all buckets are open.
EVERYBODY = "everybody"

# nginx' workers run as another user and must look in, whatever our umask is.
_OPEN_MODE = 0o755

# salt, percentage, and what `mkdtemp` adds: a step that is made again must not be the folder that nginx looks into.
_STEP = re.compile(r"(\d{1,10})-\d{1,3}-\w+")


class MarkerDirectory:
    """The marker files that one nginx host looks at. All methods block, as file systems do.

    Args:
        slots: Whether markers say which slot their bucket is on.
    """

    def __init__(self, path: Path, *, slots: bool = False) -> None:
        self.path = path
        self._slots = slots
        self._stable_b = path / STABLE_B
        self._active = path / "active"
        self._steps = path / "steps"

    def close(self, stable: Slot | None = None) -> None:
        """Send everybody to stable.

        Args:
            stable: with slots, the one that is stable; None leaves what is recorded.

        Raises:
            OSError: the link is still there.
        """
        self._record(stable)
        try:
            self._active.unlink()
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError:
            self._set_aside(self._active)  # somebody put a folder there: no `unlink`, and nginx looks into it
        # Makes the removal survive a power failure; on a file system that cannot, it is in force all the same.
        with contextlib.suppress(OSError):
            self._sync()

    def open(self, split: Split) -> None:
        """Open the buckets of *split*; nothing is changed when they are open already.

        Raises:
            OSError: the new step could not be written; the old one is still in force.
        """
        if Observation((self.reading(),)).agrees(split):
            return
        self._make()
        self._record(split.stable_slot)
        before = self._active.readlink().name if self._active.is_symlink() else ""
        step = Path(tempfile.mkdtemp(prefix=f"{split.salt}-{percent_of(split)}-", dir=self._steps))
        try:
            for marker in _markers(split, slots=self._slots):
                (step / marker).touch(mode=0o644)
            step.chmod(_OPEN_MODE)
            link = step.with_suffix(".link")
            link.symlink_to(Path("steps") / step.name)
            if self._active.is_dir() and not self._active.is_symlink():
                self._set_aside(self._active)
            link.rename(self._active)
        except OSError:
            shutil.rmtree(step, ignore_errors=True)
            step.with_suffix(".link").unlink(missing_ok=True)
            raise
        # nginx may be looking through the link that was just replaced: what it led to goes at the next change.
        self._prune({step.name, before})

    def reading(self) -> Reading:
        """What is in force: the markers that nginx finds behind the link."""
        instance = str(self.path)
        stable = self._recorded
        try:
            # nginx' `-f` follows links, and takes nothing but files.
            markers = {entry.name for entry in self._active.iterdir() if entry.is_file()}
        except (FileNotFoundError, NotADirectoryError):
            return Reading(instance, 0.0, process=self._process(), stable_slot=stable)
        except OSError as error:
            return Reading(instance, None, error=f"{self._active}: cannot be read ({error.strerror})")
        on_b = {int(name) for name in markers if re.fullmatch(r"\d\d", name)}
        on_a = {int(name[2:]) for name in markers if re.fullmatch(r"a-\d\d", name)}
        weight_ratio = len(on_a if stable == "b" else on_b) / NGINX_BUCKETS
        step = _STEP.fullmatch(self._active.readlink().name) if self._active.is_symlink() else None
        whole = markers.isdisjoint({EVERYBODY, SLOT_A + EVERYBODY}) == (weight_ratio < 1)
        if step is None or not whole or not _placed(int(step[1]), on_a, on_b, slots=self._slots):
            problem = f"{self._active}: holds markers that no rollout placed"
            return Reading(instance, weight_ratio, error=problem, stable_slot=stable)
        testers = not markers.isdisjoint({TESTER, SLOT_A + TESTER})
        return Reading(
            instance,
            weight_ratio,
            salt=int(step[1]) if weight_ratio or not self._slots else None,
            testers=testers,
            testers_alone=testers and not weight_ratio,
            process=self._process(),
            stable_slot=stable,
        )

    @property
    def _recorded(self) -> Slot | None:
        if not self._slots:
            return None
        return "b" if self._stable_b.is_file() else "a"

    def _record(self, stable: Slot | None) -> None:
        """Write down which slot is stable; while a step is in force that moves nobody.

        Raises:
            OSError: it could not be written down.
        """
        if not self._slots or stable in (None, self._recorded):
            return
        if stable == "b":
            self._make()
            self._stable_b.touch(mode=0o644)
        else:
            self._stable_b.unlink()
        with contextlib.suppress(OSError):
            self._sync()

    def _process(self) -> str:
        """Which making of the folder this is: a person who removes the link leaves it, a wiped folder is another."""
        try:
            status = self._steps.stat()
        except OSError:
            return ""
        return f"{status.st_dev}/{status.st_ino}"

    def check(self) -> list[tuple[str, str]]:
        """Problems and remedies: what would keep this user from changing the weight."""
        found = []
        if self._active.exists() and not self._active.is_symlink():
            found.append(("`active` is not a symbolic link", "remove it; it is made when a rollout starts"))
        if os.path.lexists(self._steps) and not self._steps.is_dir():
            found.append(("`steps` is not a folder", "remove it; it is made when a rollout starts"))
        for folder in [self._nearest(), *([self._steps] if self._steps.is_dir() else [])]:
            try:
                with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe."):
                    pass
            except OSError as error:
                found.append((f"{folder} cannot be written ({error.strerror})", "give the receiver's user this folder"))
        if self._stuck():
            found.append(("`active` belongs to another user, in a folder with the sticky bit", "chmod -t the folder"))
        return found

    def _stuck(self) -> bool:
        """Whether the link could not be removed although the folder can be written, as in /tmp."""
        try:
            folder, link = self.path.stat(), self._active.lstat()
        except OSError:
            return False
        return bool(folder.st_mode & stat.S_ISVTX) and os.geteuid() not in (0, folder.st_uid, link.st_uid)

    def _set_aside(self, found: Path) -> None:
        """Take something that is no link of ours out of nginx' sight in one rename, then remove what can be removed."""
        aside = found.with_name(f".{found.name}.{uuid.uuid4().hex}")
        found.rename(aside)
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.unlink()

    def closed_to(self, user: str) -> Path | None:
        """The outermost folder on the way to the markers that *user* may not enter.

        Raises:
            LookupError: there is no such user.
        """
        entry = pwd.getpwnam(user)
        groups = os.getgrouplist(user, entry.pw_gid)
        nearest = self._nearest()
        if entry.pw_uid == 0:
            return None
        for folder in reversed([nearest, *nearest.parents]):
            status = folder.stat()
            own, group = status.st_uid == entry.pw_uid, status.st_gid in groups
            if not status.st_mode & (0o100 if own else 0o010 if group else 0o001):
                return folder
        return None

    def _nearest(self) -> Path:
        return next(folder for folder in (self.path, *self.path.parents) if folder.exists())

    def _make(self) -> None:
        missing = [folder for folder in (self._steps, *self._steps.parents) if not folder.exists()]
        if os.path.lexists(self._steps) and not self._steps.is_dir():
            self._set_aside(self._steps)
            missing = [self._steps]
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            folder.chmod(_OPEN_MODE)

    def _sync(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _prune(self, keep: set[str]) -> None:
        for step in self._steps.iterdir():
            if step.name not in keep:
                shutil.rmtree(step, ignore_errors=True)


def percent_of(split: Split) -> int:
    """The canary's traffic weight in whole percents, which is the number of buckets that are open."""
    return round(split.weight_ratio * 100)


def _markers(split: Split, *, slots: bool) -> list[str]:
    count = round(split.slot_b_ratio * NGINX_BUCKETS) if slots else percent_of(split)
    names = [f"{bucket:02d}" for bucket in nginx_order(split.salt)]
    on_a = [SLOT_A + name for name in names[count:]] if slots else []
    others = [TESTER] if split.testers or split.testers_alone else []
    others += [EVERYBODY] if split.everybody else []
    where = SLOT_A if slots and split.stable_slot == "b" else ""
    return [*names[:count], *on_a, *(where + name for name in others)]


def _placed(salt: int, on_a: set[int], on_b: set[int], *, slots: bool) -> bool:
    """Whether a rollout with this salt has placed these markers."""
    order = nginx_order(salt)
    return on_b == set(order[: len(on_b)]) and on_a == (set(order[len(on_b) :]) if slots else set())
