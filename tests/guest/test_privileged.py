"""Instructions of ring 0 fault in ring 3, also where KVM carries them out by its emulator.

A KVM without hardware support does that to what comes behind MOV SS.
"""

import pytest

from edge.vmm.engines.engine import Fault
from tests.support import bare
from vmimage import abi
from vmimage.snapshot import Registers

MOV_SS = bytes.fromhex("b823000000 8ed0")  # mov eax, 0x23; mov ss, eax
OUT = b"\xe6\x10\xeb\xfe"
INSTRUCTIONS = {
    "hlt": "f4",
    "mov rax, cr0": "0f20c0",
    "mov cr3, rax": "0f22d8",
    "mov rax, cr8": "440f20c0",
    "mov dr7, rax": "0f23f8",
    "mov rax, dr7": "0f21f8",
    "rdmsr": "0f32",
    "wrmsr": "0f30",
    "lgdt": "0f0110",
    "lidt": "0f0118",
    "ltr": "0f00d8",
    "lldt": "0f00d0",
    "lmsw": "0f01f0",
    "clts": "0f06",
    "invlpg": "0f0138",
    "invd": "0f08",
    "wbinvd": "0f09",
    "swapgs": "0f01f8",
    "sysret": "480f07",
    "sysexit": "0f35",
    "xsetbv": "0f01d1",
    "rdpmc": "0f33",
    "rsm": "0faa",
    "vmrun": "0f01d8",
    "clgi": "0f01dd",
    "stac": "0f01cb",
}


@pytest.mark.parametrize("before", [b"", MOV_SS], ids=["", "after MOV SS"])
@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_a_privileged_instruction_faults(name: str, before: bytes, engine: str) -> None:
    cpu = bare.engine_over(before + bytes.fromhex(INSTRUCTIONS[name]) + OUT)
    start = abi.PROGRAM_ADDRESS
    cpu.load(Registers(gpr=(0, 0, 0, 0, start + 0x800, 0, 0, 0, *[0] * 8), rip=start))
    reason = cpu.run()
    assert isinstance(reason, Fault), reason
    assert reason.vector in (6, 13, 14)
    cpu.close()
