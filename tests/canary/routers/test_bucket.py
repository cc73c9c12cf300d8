"""Which users are the canary's. That the routers agree is shown in tests/canary/routers/test_switching.py."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.routers import bucket

USER_IDS = st.text(st.characters(codec="utf-8"), max_size=60)
SALTS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("data", "digest"),
    # Computed by nginx' own src/core/ngx_murmurhash.c, compiled for itself.
    [
        (b"", 0),
        (b"a", 0x92685F5E),
        (b"ab", 0x1AA14063),
        (b"abc", 0x13577C9B),
        (b"abcd", 0x26873021),
        (b"canary:customer-7", 0xD172210A),
    ],
)
def test_murmur2_is_nginx_own(data: bytes, digest: int) -> None:
    """Every length of the last piece gives what nginx' C code gives."""
    assert bucket.murmur2(data) == digest


@given(user_id=USER_IDS, salt=SALTS)
def test_every_user_has_one_place(user_id: str, salt: int) -> None:
    """Whatever a cookie holds, the user has a place in the routers' range, and always the same."""
    assert 0 <= bucket.haproxy_bucket(user_id, salt) < 10_000
    assert 0 <= bucket.nginx_bucket(user_id) < 100
    assert 0 <= bucket.nginx_place(user_id, salt) < 100
    assert bucket.haproxy_bucket(user_id, salt) == bucket.haproxy_bucket(user_id, salt)


@given(salt=SALTS)
def test_an_order_opens_every_bucket_once(salt: int) -> None:
    """A rollout's order is a permutation of the hundred buckets."""
    assert sorted(bucket.nginx_order(salt)) == list(range(100))


@given(raw=st.binary(max_size=60), salt=SALTS)
def test_bytes_that_are_no_text_have_a_place(raw: bytes, salt: int) -> None:
    """A cookie that is not UTF-8, decoded as Python does with foreign bytes, hashes as those bytes."""
    user_id = raw.decode(errors="surrogateescape")

    assert bucket.nginx_bucket(user_id) == min(bucket.murmur2(b"canary:" + raw) // 42_949_672, 99)
    assert 0 <= bucket.haproxy_bucket(user_id, salt) < 10_000


def test_weights_come_out_as_asked() -> None:
    """Of 20,000 users, 5 and 50 percent are chosen by both routers within five standard deviations."""
    users = [f"user-{number}" for number in range(20_000)]
    salt = bucket.salt_of("r-1")
    for weight_ratio in (0.05, 0.5):
        deviation = (weight_ratio * (1 - weight_ratio) / len(users)) ** 0.5
        haproxy = statistics.fmean(bucket.haproxy_bucket(user, salt) < weight_ratio * 10_000 for user in users)
        nginx = statistics.fmean(bucket.nginx_place(user, salt) < weight_ratio * 100 for user in users)

        assert haproxy == pytest.approx(weight_ratio, abs=5 * deviation)
        assert nginx == pytest.approx(weight_ratio, abs=5 * deviation)


def test_rollouts_choose_independently() -> None:
    """Over many rollouts, the users of two 20 % groups overlap as much as chance has it."""
    orders = [set(bucket.nginx_order(bucket.salt_of(f"r-{number}"))[:20]) for number in range(200)]
    overlaps = [len(first & second) for first, second in zip(orders[::2], orders[1::2], strict=True)]

    assert statistics.fmean(overlaps) == pytest.approx(4, abs=1)
