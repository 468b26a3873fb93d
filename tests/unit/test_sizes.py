"""Sizes as people write them."""

import pytest

from vmimage.sizes import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("64", 64), ("0", 0), ("64B", 64), ("8KiB", 8192), (" 1.5 GiB ", 3 << 29), ("2TiB", 2 << 40), ("0.5KiB", 512)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_large_sizes_are_exact() -> None:
    assert parse_size("9007199254740993") == (1 << 53) + 1


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1MB", "1 kib", "1e3", "0x10", "1,5GiB", "\u0661", "1" * 19])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a size such as 256MiB expected"):
        parse_size(text)


@pytest.mark.parametrize(("size", "text"), [(0, "0B"), (1023, "1023B"), (1536 << 10, "1MiB"), (3 << 30, "3GiB")])
def test_sizes_for_people(size: int, text: str) -> None:
    assert format_size(size) == text
