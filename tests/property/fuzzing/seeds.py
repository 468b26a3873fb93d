"""Seeds that are frozen in `tests/vectors`, and ways to make inputs of them."""

import base64
import json
from collections.abc import Callable

import zstandard

from tests.property.fuzzing import mutate
from tests.property.fuzzing.mutate import Rng
from tests.vectors import make as vectors
from vmimage.canonical import canonical_json, digest_of


def frozen(name: str) -> bytes:
    """A vector's bytes."""
    return (vectors.GOLDEN / name).read_bytes()


def from_seeds(*seeds: bytes) -> Callable[[Rng], bytes]:
    """Changed bytes."""
    return lambda rng: mutate.data(rng, rng.choice(seeds), seeds)


def packed(*seeds: bytes, raw_max: int = 1 << 24) -> Callable[[Rng], bytes]:
    """Changed content in a good zstd frame, or a changed frame."""
    plain = [zstandard.decompress(seed) for seed in seeds]

    def make(rng: Rng) -> bytes:
        if rng.random() < 0.2:
            return mutate.data(rng, rng.choice(seeds), seeds)
        return zstandard.compress(mutate.data(rng, rng.choice(plain), plain)[:raw_max], 1)

    return make


def changed_manifest(*seeds: bytes) -> Callable[[Rng], bytes]:
    """A manifest with something changed, its config with its new digest and size where that is what was changed."""

    def make(rng: Rng) -> bytes:
        seed = rng.choice(seeds)
        if rng.random() < 0.2:
            return mutate.data(rng, seed)
        outer = json.loads(seed)
        if rng.random() < 0.3:
            return canonical_json(mutate.value(rng, outer))
        config = mutate.value(rng, json.loads(base64.b64decode(outer["config"]["data"])))
        data = canonical_json(config)
        outer["config"] |= {"data": base64.b64encode(data).decode(), "digest": digest_of(data), "size": len(data)}
        return canonical_json(outer)

    return make
