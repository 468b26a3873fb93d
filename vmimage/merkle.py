"""The Merkle tree of RFC 6962, section 2.1: hashes of leaves and nodes, roots, and proofs made and checked.

A tree is read through `Hashes`: the hash of the complete subtree of 2 ** level leaves with a number, counted from 0 at
each level. Where these are kept is `vmimage.tiles`' business.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from vmimage.errors import VerificationError

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256().digest()

Hashes = Callable[[int, int], bytes]  # (level, number) -> hash of that complete subtree


def leaf_hash(data: bytes) -> bytes:
    """Of an entry."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(size: int, hashes: Hashes) -> bytes:
    """The root of a tree of `size` leaves."""
    return _range(0, size, hashes) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, hashes: Hashes) -> list[bytes]:
    """That leaf `index` is in the tree of `size` leaves: the path of 2.1.1, from the leaf up."""
    if not 0 <= index < size:
        raise ValueError(f"a leaf below {size} expected, got {index}")
    return _path(index, 0, size, hashes)


def consistency_proof(old: int, size: int, hashes: Hashes) -> list[bytes]:
    """That the tree of `size` leaves begins with the one of `old` leaves, as 2.1.2 has it."""
    if not 0 < old <= size:
        raise ValueError(f"a size from 1 to {size} expected, got {old}")
    return _subproof(old, 0, size, True, hashes)


def verify_inclusion(index: int, size: int, leaf: bytes, root: bytes, proof: Sequence[bytes]) -> None:
    """RFC 9162, 2.1.3.2.

    :raises VerificationError: the leaf is not shown to be in the tree with that root.
    """
    number, last, found = index, size - 1, leaf
    valid = 0 <= index < size
    for each in proof:
        valid = valid and last > 0
        if number & 1 or number == last:
            found = node_hash(each, found)
            while number and not number & 1:
                number, last = number >> 1, last >> 1
        else:
            found = node_hash(found, each)
        number, last = number >> 1, last >> 1
    if not valid or last or found != root:
        raise VerificationError(f"log: a proof that leaf {index} is among {size} expected, got another")


def verify_consistency(old: int, size: int, old_root: bytes, root: bytes, proof: Sequence[bytes]) -> None:
    """RFC 9162, 2.1.4.2.

    :raises VerificationError: the tree of `size` leaves is not shown to begin with the one of `old`.
    """
    if not _is_consistent(old, size, old_root, root, proof):
        raise VerificationError(f"log: a proof that {size} leaves begin with the {old} known expected, got another")


def _is_consistent(old: int, size: int, old_root: bytes, root: bytes, proof: Sequence[bytes]) -> bool:
    if not 0 < old <= size:
        return False
    if old == size:
        return not proof and old_root == root
    left = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not left:
        return False
    number, last = old - 1, size - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    first = second = left[0]
    for each in left[1:]:
        if last == 0:
            return False
        if number & 1 or number == last:
            first, second = node_hash(each, first), node_hash(each, second)
            while number and not number & 1:
                number, last = number >> 1, last >> 1
        else:
            second = node_hash(second, each)
        number, last = number >> 1, last >> 1
    return last == 0 and first == old_root and second == root


@dataclass(frozen=True)
class Frontier:
    """What must be known of a tree to append to it: the roots of its complete subtrees, the largest first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            raise ValueError(f"a hash for each bit of {self.size} expected, got {len(self.hashes)}")

    def grown(self, leaves: Iterable[bytes]) -> "Frontier":
        """With hashes of leaves appended."""
        size, hashes = self.size, list(self.hashes)
        for leaf in leaves:
            hashes.append(leaf)
            size += 1
            for _ in range((size & -size).bit_length() - 1):
                right = hashes.pop()
                hashes[-1] = node_hash(hashes[-1], right)
        return Frontier(size, tuple(hashes))

    @property
    def root(self) -> bytes:
        """Of the tree."""
        if not self.hashes:
            return EMPTY_ROOT
        found = self.hashes[-1]
        for left in self.hashes[-2::-1]:
            found = node_hash(left, found)
        return found


def _split(count: int) -> int:
    """The largest power of two below a count of 2 or more."""
    return 1 << (count - 1).bit_length() - 1


def _range(first: int, end: int, hashes: Hashes) -> bytes:
    count = end - first
    if count & (count - 1) == 0:
        return hashes(count.bit_length() - 1, first // count)
    middle = first + _split(count)
    return node_hash(_range(first, middle, hashes), _range(middle, end, hashes))


def _path(index: int, first: int, end: int, hashes: Hashes) -> list[bytes]:
    if end - first == 1:
        return []
    middle = first + _split(end - first)
    if index < middle:
        return [*_path(index, first, middle, hashes), _range(middle, end, hashes)]
    return [*_path(index, middle, end, hashes), _range(first, middle, hashes)]


def _subproof(old: int, first: int, end: int, whole: bool, hashes: Hashes) -> list[bytes]:
    """:param old: end of the old tree. :param whole: the old tree is a subtree that its own root names."""
    if old == end:
        return [] if whole else [_range(first, end, hashes)]
    middle = first + _split(end - first)
    if old <= middle:
        return [*_subproof(old, first, middle, whole, hashes), _range(middle, end, hashes)]
    return [*_subproof(old, middle, end, False, hashes), _range(first, middle, hashes)]
