"""Which instructions of a program a machine could not execute alike everywhere, so that its publisher is told.

A linear sweep over each function, decoded by iced-x86. AVX is refused: machines do not have it, and the emulator
misreads it. A locked bit test of a register is refused: no processor executes it, and the emulator aborts at it. What
reads the host's clock, random numbers or state is outside of the contract and faults on some hosts: a warning.
"""

from collections.abc import Iterator
from typing import Final, Literal

from iced_x86 import Decoder, DecoderOptions, EncodingKind, Instruction, Mnemonic, OpKind

from origin.bake.elf import Program
from vmimage.errors import PublisherError
from vmimage.symbols import Symbol

Kind = Literal["", "AVX", "LOCK", "RDTSC", "RDRAND", "XGETBV"]

_OUTSIDE: Final[dict[int, Kind]] = {
    Mnemonic.RDTSC: "RDTSC",
    Mnemonic.RDTSCP: "RDTSC",
    Mnemonic.RDRAND: "RDRAND",
    Mnemonic.RDSEED: "RDRAND",
    Mnemonic.XGETBV: "XGETBV",
}
_BIT_TESTS: Final = frozenset({Mnemonic.BT, Mnemonic.BTC, Mnemonic.BTR, Mnemonic.BTS})


def questionable(code: bytes) -> Iterator[tuple[int, Kind]]:
    """Offset and kind of every instruction that is not for a machine; AVX ends the sweep, and so does what is cut."""
    # Unchecked: a LOCK that no processor takes is decoded as such, and not as no instruction at all.
    for instruction in Decoder(64, code, options=DecoderOptions.NO_INVALID_CHECK):
        if instruction.is_invalid:
            return
        if kind := _kind(instruction):
            yield instruction.ip, kind
        if kind == "AVX":
            return


def _kind(instruction: Instruction) -> Kind:
    if instruction.op_code().encoding != EncodingKind.LEGACY:
        return "AVX"
    if instruction.mnemonic in _BIT_TESTS and instruction.has_lock_prefix and instruction.op0_kind == OpKind.REGISTER:
        return "LOCK"
    return _OUTSIDE.get(instruction.mnemonic, "")


def check_instructions(program: Program) -> list[str]:
    """What a publisher should know of the program's instructions, a line each.

    Looks at every function that has a symbol and a size; without symbols at executable memory as a whole.

    :raises PublisherError: it has AVX instructions, which machines do not have and the emulator misreads; or LOCK
        before a bit test of a register, which no processor executes.
    """
    warnings: dict[str, str] = {}
    for segment in program.segments:
        if segment.access != "rx":
            continue
        end = segment.address + len(segment.data)
        inside = [f for f in program.functions if f.size and segment.address <= f.address < end]
        for function in inside or [Symbol(segment.address, len(segment.data), "the program")]:
            start = function.address - segment.address
            for offset, kind in questionable(segment.data[start : start + function.size]):
                where = f"{function.name} at {function.address + offset:#x}"
                if kind == "AVX":
                    raise PublisherError(
                        f"program: x86-64-v2 instructions expected, got AVX in {where}; "
                        "compile with -mcpu=x86_64_v2 (gcc, clang: -march=x86-64-v2)"
                    )
                if kind == "LOCK":
                    raise PublisherError(
                        "program: LOCK before bt, bts, btr and btc only with an operand in memory expected, got a "
                        f"register in {where}{_line(program, function.address + offset)}; take the prefix away"
                    )
                warnings.setdefault(kind, f"{kind} in {where}: outside of the contract, it faults on some hosts")
    return list(warnings.values())


def _line(program: Program, address: int) -> str:
    """The line of the source that has the instruction, where the program says it."""
    lines = [s for s in program.symbols if s.name.endswith(")") and s.address <= address < s.address + s.size]
    return " (" + lines[-1].name.partition(" (")[2] if lines else ""
