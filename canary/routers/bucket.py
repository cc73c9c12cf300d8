"""Which users are the canary's: the routers' own hashes, computed identically in Python.

Both routers give every user a fixed place and call the users below a limit canary users, so that raising the weight
only adds users, and nobody changes sides within a rollout: an order is then due to one version. Drawing for each
request would show a user both versions; keeping the drawn side in a cookie needs the first answer to have arrived, and
nobody can compute it afterwards.

Each rollout has other users, by a salt made from its id; with one fixed order the same few would try every release.
HAProxy mixes the salt into the hash. nginx cannot learn a new salt without a reload, so there the salt chooses the
order in which one hundred fixed buckets are opened; the overlap of two rollouts is that of chance, as with HAProxy.

Python computes the same, so that a user's version is known and tested without asking the router.
"""

import functools
import hashlib

import xxhash

# Hundredths of a percent: the finest weight that a policy can write.
HAPROXY_BUCKETS = 10_000
# Each bucket is a line of configuration and at most one marker file; finer weights than 1 % are HAProxy's.
NGINX_BUCKETS = 100

# nginx truncates each part of split_clients by itself: 1 % is floor(0xffffffff / 100).
_NGINX_PART = 100 * 0xFFFFFFFF // 10_000

# Keeps the shop's own split_clients over the same id from choosing the same users.
NGINX_PREFIX = "canary:"

# C computes modulo 2**32 by itself; Python has to be told.
_WORD = 0xFFFFFFFF


def salt_of(rollout: str) -> int:
    """The number, 0 to 2**32 - 1, by which the routers know a rollout."""
    return int(xxhash.xxh32_intdigest(rollout.encode()))


def murmur2(data: bytes) -> int:
    """MurmurHash2 in 32 bits with seed 0, as nginx' split_clients uses it.

    Source: Austin Appleby, MurmurHash2.cpp (public domain); nginx src/core/ngx_murmurhash.c.
    """
    multiplier = 0x5BD1E995
    digest = len(data)
    whole = len(data) - len(data) % 4
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * multiplier & _WORD
        word = (word ^ word >> 24) * multiplier & _WORD
        digest = digest * multiplier & _WORD ^ word
    if rest := data[whole:]:
        digest = (digest ^ int.from_bytes(rest, "little")) * multiplier & _WORD
    digest = (digest ^ digest >> 13) * multiplier & _WORD
    return digest ^ digest >> 15


def haproxy_bucket(user_id: str, salt: int) -> int:
    """A user's place under HAProxy, 0 to 9999: `xxh32(salt:user) mod 10000`."""
    text = f"{salt}:{user_id}".encode(errors="surrogateescape")
    return int(xxhash.xxh32_intdigest(text)) % HAPROXY_BUCKETS


def nginx_bucket(user_id: str) -> int:
    """The split_clients bucket of a user, 0 to 99, the same in every rollout.

    Source: nginx src/http/modules/ngx_http_split_clients_module.c.
    """
    text = f"{NGINX_PREFIX}{user_id}".encode(errors="surrogateescape")
    return min(murmur2(text) // _NGINX_PART, NGINX_BUCKETS - 1)


# Every read-back needs the order of the rollout in force; a few for those before it.
@functools.lru_cache(maxsize=32)
def nginx_order(salt: int) -> tuple[int, ...]:
    """The order in which a rollout opens the hundred buckets: a permutation drawn from its salt."""

    def draw(bucket: int) -> bytes:
        return hashlib.sha256(f"{salt}:{bucket}".encode()).digest()

    return tuple(sorted(range(NGINX_BUCKETS), key=draw))


def nginx_place(user_id: str, salt: int) -> int:
    """A user's place under nginx, 0 to 99: how many buckets a rollout opens before this user's."""
    return nginx_order(salt).index(nginx_bucket(user_id))
