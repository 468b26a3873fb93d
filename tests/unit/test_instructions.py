"""Are instructions that machines lack found, and nothing else taken for them?"""

import dataclasses
from pathlib import Path

import pytest

from libos.toolchain.compile_linux import compile_linux
from origin.bake.elf import parse_program
from origin.bake.instructions import check_instructions, questionable
from tests.support.linux import program
from vmimage.errors import PublisherError

# Encodings with bytes that would begin a VEX or EVEX instruction, were they taken for an opcode.
HARMLESS = (
    "48b8c5c5c5c5c5c5c5c5 b8c4c4c4c4 66b8c5c5 b062 6ac5 68c5c5c5c5 6668c5c5 e8c5c5c5c5 0f84c5c5c5c5 74c5 81c5c5c5c5c5",
    "488b84c5c5c5c5c5 8d4562 c705c5c5c5c5c4c4c4c4 66c705c5c5c5c5c4c4 f605c5c5c5c5c4 f7c0c5c5c5c5 0fbae0c5 c8c4c4c5",
    "0f3a0fc5c4 660f3a0fc5c5 0f38f007 660f70c5c5 480fc70f 48a1c5c5c5c5c5c5c5c5 c2c5c5 6669c0c4c4 69c0c5c5c5c5 f30f5ac5",
)


@pytest.mark.parametrize("text", HARMLESS)
def test_immediates_and_operands_are_no_opcodes(text: str) -> None:
    code = bytes.fromhex(text)
    assert list(questionable(code)) == []
    assert list(questionable(code + bytes.fromhex("c5f877"))) == [(len(code), "AVX")]


@pytest.mark.parametrize(
    ("text", "kind"),
    [("c5f877", "AVX"), ("62f17c4858c1", "AVX"), ("0f31", "RDTSC"), ("480fc7f0", "RDRAND"), ("0f01d0", "XGETBV")],
)
def test_found(text: str, kind: str) -> None:
    assert next(questionable(b"\x90\x55" + bytes.fromhex(text) + b"\xc3")) == (2, kind)


def test_avx_is_refused_with_what_to_do(tmp_path: Path) -> None:
    source = tmp_path / "sum.c"
    source.write_text(
        "int main(int n, char **v) { float s = 0; for (int i = 0; i < n * 1000; i++) s += (float)v[0][i % 3] * i;"
        " return (int)s; }"
    )
    with pytest.raises(PublisherError, match=r"AVX in main.*compile with -mcpu=x86_64_v2"):
        check_instructions(parse_program(compile_linux([source], flags=["-mcpu=x86_64_v3"])))
    assert check_instructions(parse_program(compile_linux([source]))) == []


@pytest.mark.parametrize("name", ["linux_cxx.cc", "linux_threads.c", "linux_memory.c"])
def test_no_false_alarms(name: str) -> None:
    real = program(name)
    assert len(real.functions) > 50
    assert check_instructions(real) == []
    assert check_instructions(dataclasses.replace(real, functions=())) == []
