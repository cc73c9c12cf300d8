"""Certificates of a test's own authority, made by OpenSSL."""

import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

_SUBJECTS = "subjectAltName=DNS:localhost"
# Python from 3.13 on takes no authority without it.
_SIGNS = "keyUsage=critical,keyCertSign,cRLSign"

_MOMENT = "%Y%m%d%H%M%SZ"

# What `openssl ca`, which alone lets a certificate begin at any time, wants to know.
_SIGNING = """\
[ca]
default_ca = ours
[ours]
database = {folder}/{name}.index
serial = {folder}/{name}.serial
new_certs_dir = {folder}
default_md = sha256
policy = names
[names]
commonName = supplied
"""


class Authority:
    """Signs certificates for `localhost`; the address 127.0.0.1 is none of their names."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.certificate = folder / "authority.crt"
        self._key = folder / "authority.key"
        self._make(self._key, self.certificate, "/CN=authority of a test", "-addext", _SIGNS)

    def issue(self, name: str, owner: str | None = None) -> tuple[Path, Path]:
        """A certificate and its key, which only its owner may read."""
        key, certificate = self._folder / f"{name}.key", self._folder / f"{name}.crt"
        signed = ["-CA", str(self.certificate), "-CAkey", str(self._key), "-addext", _SUBJECTS]
        signed += ["-addext", "basicConstraints=critical,CA:FALSE"]
        self._make(key, certificate, f"/CN={name}", *signed)
        if owner is not None and os.geteuid() == 0:
            shutil.chown(key, owner)
        return certificate, key

    def expire(self, name: str) -> None:
        """Sign an issued certificate's key again, in a certificate that was good until a minute ago."""
        self._renew(name, "20000101000000Z", (datetime.now(UTC) - timedelta(minutes=1)).strftime(_MOMENT))

    def postpone(self, name: str) -> None:
        """Sign an issued certificate's key again, in a certificate that is good from the day after tomorrow on."""
        begins = datetime.now(UTC) + timedelta(days=2)
        self._renew(name, begins.strftime(_MOMENT), (begins + timedelta(days=2)).strftime(_MOMENT))

    def _renew(self, name: str, begins: str, ends: str) -> None:
        asked, extensions, settings = (self._folder / f"{name}.{ending}" for ending in ("csr", "ext", "cnf"))
        extensions.write_text(f"{_SUBJECTS}\nbasicConstraints=critical,CA:FALSE\n", encoding="utf-8")
        settings.write_text(_SIGNING.format(folder=self._folder, name=name), encoding="utf-8")
        (self._folder / f"{name}.index").write_text("", encoding="utf-8")
        key, certificate = self._folder / f"{name}.key", self._folder / f"{name}.crt"
        made = ["openssl", "req", "-new", "-key", str(key), "-subj", f"/CN={name}", "-out", str(asked)]
        subprocess.run(made, check=True, capture_output=True)
        signed = ["openssl", "ca", "-batch", "-notext", "-create_serial", "-config", str(settings), "-in", str(asked)]
        signed += ["-cert", str(self.certificate), "-keyfile", str(self._key), "-extfile", str(extensions)]
        signed += ["-startdate", begins, "-enddate", ends, "-out", str(certificate)]
        subprocess.run(signed, check=True, capture_output=True)

    def _make(self, key: Path, certificate: Path, subject: str, *options: str) -> None:
        argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", subject, *options]
        subprocess.run([*argv, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
        key.chmod(0o600)
