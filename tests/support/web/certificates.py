"""Certificates of a test's own authority, made by OpenSSL."""

import os
import shutil
import subprocess
from pathlib import Path

_SUBJECTS = "subjectAltName=DNS:localhost"
# Python from 3.13 on takes no authority without it.
_SIGNS = "keyUsage=critical,keyCertSign,cRLSign"


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
        """Sign an issued certificate's key again, in a certificate that was good until now."""
        key, certificate = self._folder / f"{name}.key", self._folder / f"{name}.crt"
        asked, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        extensions.write_text(f"{_SUBJECTS}\nbasicConstraints=critical,CA:FALSE\n", encoding="utf-8")
        made = ["openssl", "req", "-new", "-key", str(key), "-subj", f"/CN={name}", "-out", str(asked)]
        subprocess.run(made, check=True, capture_output=True)
        signed = ["openssl", "x509", "-req", "-in", str(asked), "-CA", str(self.certificate), "-CAkey", str(self._key)]
        signed += ["-CAcreateserial", "-days", "0", "-extfile", str(extensions), "-out", str(certificate)]
        subprocess.run(signed, check=True, capture_output=True)

    def _make(self, key: Path, certificate: Path, subject: str, *options: str) -> None:
        argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", subject, *options]
        subprocess.run([*argv, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
        key.chmod(0o600)
