"""The Prometheus family's `web.config.yml`: TLS, client certificates, basic authentication, headers.

The format is the exporter-toolkit's, https://prometheus.io/docs/prometheus/latest/configuration/https/.
What this server cannot do (HTTP/2, rate limits, client certificates that are asked for but not verified) is refused
by name instead of being ignored.
"""

import re
import ssl
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from canary.certificates import load_chain
from canary.errors import WebConfigError, reason
from canary.files import open_regular

_TLS_KEYS = {
    "cert": str, "cert_file": str, "key": str, "key_file": str, "client_ca": str, "client_ca_file": str,
    "client_auth_type": str, "client_allowed_sans": list, "min_version": str, "max_version": str,
    "cipher_suites": list, "curve_preferences": list, "prefer_server_cipher_suites": bool,
}  # fmt: skip
_TOP_KEYS = {"tls_server_config": dict, "http_server_config": dict, "basic_auth_users": dict, "rate_limit": dict}
_HTTP_KEYS = {"http2": bool, "headers": dict}
_HEADERS = (
    "Content-Security-Policy", "Strict-Transport-Security", "X-Content-Type-Options", "X-Frame-Options",
    "X-XSS-Protection",
)  # fmt: skip
_VERSIONS = {
    "TLS13": ssl.TLSVersion.TLSv1_3,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS10": ssl.TLSVersion.TLSv1,
}
_CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
_BCRYPT = re.compile(r"\$2[abxy]?\$\d\d\$[./A-Za-z0-9]{53}")


@dataclass(frozen=True)
class WebConfig:
    """What a web configuration file says, ready to serve with.

    Attributes:
        tls: None means plain HTTP.
        allowed_names: when not empty, a client certificate must carry one of them as subject alternative name.
        users: user name to bcrypt hash; empty means no authentication.
        headers: added to every answer.
        files: every file it was read from, to be watched for changes.
    """

    tls: ssl.SSLContext | None = None
    allowed_names: frozenset[str] = frozenset()
    users: Mapping[str, bytes] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


def load_web_config(path: Path) -> WebConfig:
    """Read and check a web configuration file; relative paths in it start at its folder.

    Raises:
        WebConfigError: with all faults, none of them quoting a value.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise WebConfigError(f"{path}: cannot be read ({reason(error)})") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # no such day (2026-99-99), lists without end
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        raise WebConfigError(f"{path}:{line}: not YAML") from None  # the original quotes the file
    data = {} if data is None else data
    faults = list(_faults(data))
    if faults:
        raise WebConfigError("\n".join(f"{path}: {fault}" for fault in faults))
    tls = data.get("tls_server_config") or {}
    users = data.get("basic_auth_users") or {}
    files = [path] + [_beside(path, tls[key]) for key in ("cert_file", "key_file", "client_ca_file") if key in tls]
    return WebConfig(
        tls=_context(path, tls) if tls else None,
        allowed_names=frozenset(tls.get("client_allowed_sans", ())),
        users={name: secret.encode() for name, secret in users.items()},
        headers=(data.get("http_server_config") or {}).get("headers") or {},
        files=tuple(files),
    )


def _beside(path: Path, name: str) -> Path:
    return path.parent / name


def _keys(where: str, data: object, known: Mapping[str, type]) -> Iterator[str]:
    if not isinstance(data, dict):
        yield f"{where or 'the file'}: expected a section with keys"
        return
    for key, value in data.items():
        place = f"{where}.{key}" if where else str(key)
        if key not in known:
            yield f"{place}: unknown key; known are {', '.join(sorted(known))}"
        elif not isinstance(value, known[key]) and value is not None:
            yield f"{place}: expected {known[key].__name__}, found {type(value).__name__}"


def _faults(data: object) -> Iterator[str]:
    yield from (first := list(_keys("", data, _TOP_KEYS)))
    if first or not isinstance(data, dict):
        return
    if "rate_limit" in data:
        yield "rate_limit: not supported by this server; limit requests in a proxy before it"
    yield from _tls_faults(data.get("tls_server_config") or {})
    yield from _http_faults(data.get("http_server_config") or {})
    for user, secret in (data.get("basic_auth_users") or {}).items():
        if not isinstance(secret, str) or not _BCRYPT.fullmatch(secret):
            yield f"basic_auth_users.{user}: expected a bcrypt hash; make one with `htpasswd -nBC 10 '' | tr -d ':'`"


def _http_faults(http: Mapping[str, object]) -> Iterator[str]:
    yield from _keys("http_server_config", http, _HTTP_KEYS)
    if http.get("http2"):
        yield "http_server_config.http2: this server speaks HTTP/1.1 only; write `http2: false`"
    headers = http.get("headers") or {}
    for name in headers if isinstance(headers, dict) else ():
        if name not in _HEADERS:
            yield f"http_server_config.headers.{name}: not allowed here; allowed are {', '.join(_HEADERS)}"


def _tls_faults(tls: Mapping[str, object]) -> Iterator[str]:
    yield from (wrong := list(_keys("tls_server_config", tls, _TLS_KEYS)))
    if not tls or wrong:
        return
    at = "tls_server_config"
    for one, other in (("cert", "cert_file"), ("key", "key_file")):
        if (one in tls) == (other in tls):
            yield f"{at}: expected exactly one of {one} and {other}"
    for key in ("min_version", "max_version"):
        if tls.get(key) is not None and tls[key] not in _VERSIONS:
            yield f"{at}.{key}: expected one of {', '.join(_VERSIONS)}, found {tls[key]!r}"
    curves = _listed(tls, "curve_preferences")
    if len(curves) > 1 or any(curve not in _CURVES for curve in curves):
        yield f"{at}.curve_preferences: expected at most one of {', '.join(_CURVES)}"
    yield from _client_faults(at, tls)


def _client_faults(at: str, tls: Mapping[str, object]) -> Iterator[str]:
    if "client_ca" in tls and "client_ca_file" in tls:
        yield f"{at}: expected at most one of client_ca and client_ca_file"
    kind = tls.get("client_auth_type", "NoClientCert")
    if kind not in _CLIENT_AUTH:
        yield f"{at}.client_auth_type: expected one of {', '.join(_CLIENT_AUTH)}, found {kind!r}"
        return
    authority = "client_ca" in tls or "client_ca_file" in tls
    if authority and kind == "NoClientCert":
        yield f"{at}.client_auth_type: a client CA is named but no certificate is asked for"
    if not authority and kind != "NoClientCert":
        yield f"{at}: client_auth_type {kind} needs client_ca_file"


def _context(path: Path, tls: Mapping[str, object]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[str(tls.get("min_version") or "TLS12")]
    context.maximum_version = _VERSIONS[str(tls.get("max_version") or "TLS13")]
    for key in ("cert_file", "key_file", "client_ca_file"):
        if key in tls:
            _require_readable(f"{path}: tls_server_config.{key}", _beside(path, str(tls[key])))
    try:
        _load_certificate(context, path, tls)
        context.verify_mode = _CLIENT_AUTH[str(tls.get("client_auth_type", "NoClientCert"))]
        if "client_ca_file" in tls:
            context.load_verify_locations(cafile=_beside(path, str(tls["client_ca_file"])))
        if "client_ca" in tls:
            context.load_verify_locations(cadata=str(tls["client_ca"]))
        suites = [_openssl_name(str(suite)) for suite in _listed(tls, "cipher_suites")]
        if suites:
            context.set_ciphers(":".join(suites))
        for curve in _listed(tls, "curve_preferences"):
            context.set_ecdh_curve(_CURVES[str(curve)])
    except (OSError, ssl.SSLError, ValueError) as error:
        raise WebConfigError(f"{path}: tls_server_config: {reason(error)}") from error
    return context


def _listed(tls: Mapping[str, object], key: str) -> list[object]:
    value = tls.get(key)
    return value if isinstance(value, list) else []


def _load_certificate(context: ssl.SSLContext, path: Path, tls: Mapping[str, object]) -> None:
    """OpenSSL reads certificates from files only, so text in the configuration passes through private ones."""
    with tempfile.TemporaryDirectory(prefix="canary-tls-") as folder:
        found: dict[str, Path] = {}
        for kind in ("cert", "key"):
            if kind in tls:
                found[kind] = Path(folder) / f"{kind}.pem"
                found[kind].touch(mode=0o600)
                found[kind].write_text(str(tls[kind]), encoding="utf-8")
            else:
                found[kind] = _beside(path, str(tls[f"{kind}_file"]))
        load_chain(context, found["cert"], found["key"])


def _require_readable(place: str, file: Path) -> None:
    """OpenSSL says that something is missing, and not what; at a pipe it would wait."""
    try:
        open_regular(file).close()
    except OSError as error:
        raise WebConfigError(f"{place}: {file} cannot be read ({reason(error)})") from error


def _openssl_name(suite: str) -> str:
    """`TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256` -> `ECDHE-RSA-AES128-GCM-SHA256`."""
    name = suite.removeprefix("TLS_").replace("_WITH_", "_")
    name = re.sub(r"AES_(128|256)_", r"AES\1_", name).replace("CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305")
    return name.removeprefix("RSA_").replace("CBC_", "").replace("_", "-")


def fingerprint(files: Iterable[Path]) -> tuple[object, ...]:
    """What tells one content of the files from the next without reading them."""
    marks: list[object] = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            marks.append(None)
        else:
            marks.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(marks)
