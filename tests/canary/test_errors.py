"""Why something failed, as people read it."""

import errno
import ssl

import pytest

from canary.errors import reason


class _WrappingError(OSError):
    """As aiohttp wraps what the system said."""

    def __init__(self, os_error: OSError) -> None:
        super().__init__(os_error.errno, "Cannot connect to host 127.0.0.1:9878 ssl:default")
        self.os_error = os_error


class _DrivenError(Exception):
    """As SQLAlchemy wraps what a database's driver said."""

    def __init__(self, orig: Exception) -> None:
        super().__init__(f"{orig} [SQL: SELECT 1]")
        self.orig = orig


def _untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed (_ssl.c:1006)")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/x"), "No such file or directory"),
        (_WrappingError(ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed")), "Connection refused"),
        (_untrusted(), "its certificate is not trusted: self-signed certificate"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "it is not UTF-8 text"),
        (TimeoutError(), "no answer in time"),
        (ValueError("the key is too short"), "the key is too short"),
        (KeyError("highestRandomWeight"), "'highestRandomWeight' is missing"),
        (KeyError(), "key error"),
        (OSError(), "os error"),
        (_DrivenError(ValueError("<class 'asyncpg.exceptions.Odd'>: no such role\nHINT: make it")), "no such role"),
        (_DrivenError(RuntimeError(1045, "Access denied for user 'shop'")), "Access denied for user 'shop'"),
    ],
)
def test_a_failure_has_words_and_no_class_name(error: BaseException, words: str) -> None:
    """What the system or TLS said, however it is wrapped; where there are none, those of its class."""
    assert reason(error) == words
