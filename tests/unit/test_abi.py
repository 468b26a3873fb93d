"""C and Python say the same numbers: a probe is compiled with abi.h and every constant read back from its ELF."""

import io
import re
import struct
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from libos.toolchain.build import HERE, compile_guest
from vmimage import abi

HEADER = HERE / "include" / "abi.h"
PREFIX = "NK_"
ENTRY = struct.Struct("<40sQ")
BUMP = "libos/include/abi.h and vmimage/abi.py must agree; see the bump rule at the top of vmimage/abi.py"


def python_numbers() -> dict[str, int]:
    return {name: value for name, value in vars(abi).items() if name.isupper() and isinstance(value, int)}


def header_names() -> set[str]:
    return set(re.findall(rf"^#define {PREFIX}(\w+) \S", HEADER.read_text(), re.MULTILINE))


def c_numbers(folder: Path) -> dict[str, int]:
    """What a C compiler makes of every name in abi.h."""
    rows = "\n".join(f'    {{"{name}", (uint64_t){PREFIX}{name}}},' for name in sorted(header_names()))
    source = folder / "probe.c"
    source.write_text(
        "#include <nunatak.h>\n"
        "struct number { char name[40]; uint64_t value; };\n"
        f"const struct number probe[] = {{\n{rows}\n}};\n"
        "int main(void) { nk_puts((const char *)probe); return 0; }\n"
    )
    elf = ELFFile(io.BytesIO(compile_guest(source)))
    symbols = elf.get_section_by_name(".symtab")
    assert isinstance(symbols, SymbolTableSection)
    found = symbols.get_symbol_by_name("probe")
    assert found
    address, size = found[0]["st_value"], found[0]["st_size"]
    for segment in elf.iter_segments():
        start = segment["p_vaddr"]
        if start <= address < start + segment["p_filesz"]:
            data = segment.data()[address - start :][:size]
            return {name.rstrip(b"\0").decode(): value for name, value in ENTRY.iter_unpack(data)}
    raise AssertionError("the probe's table is in no segment")


def test_no_name_is_missing_on_either_side() -> None:
    assert header_names() == set(python_numbers()), BUMP


def test_every_number_is_the_same(tmp_path: Path) -> None:
    numbers = c_numbers(tmp_path)
    assert len(numbers) > 80
    assert numbers == python_numbers(), BUMP
