"""The two decoders of x86 instructions, and which one this machine has."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from typing import Any

from portable import errors

from .instructions import Decoded, is_interesting

TIME_LIMIT = 300  # seconds for one chunk
_PREFIXES = rb"(?:lock|rep[a-z]*|notrack|bnd|data16|data32|addr16|addr32|[c-gs]s|rex[.A-Z]*|xacquire|xrelease|\{\w+\})"
_OPENING = rb":\t(?:" + _PREFIXES + rb" )*"  # what stands between an instruction's place and its name
_NAMES = re.compile(_OPENING + rb"([a-z0-9_]*)")
# objdump writes some operands into the name: vcmpltps, vpcmpnequb, vpclmulhqlqdq.
_OPERANDS = re.compile(
    r"^(vcmp)[a-z_]+?([ps][sdh])$|^(vpcmp)(?:eq(?=u)|n?l[te]|neq)(u?[bwdq])$|^(vpclmul)[lh]q[lh](qdq)$"
)
_STRINGS = re.compile(r"(?:MOVSD|CMPSD)_M32_M32")


class Objdump:
    """Decodes with `objdump` of binutils."""

    def __init__(self, program: str) -> None:
        self.program = program

    def decode(self, data: bytes, bits: int) -> Decoded:
        """See instructions.Decoder."""
        machine = "i386:x86-64" if bits == 64 else "i386"
        with tempfile.NamedTemporaryFile(prefix="manylinux-doctor-") as file, tempfile.TemporaryFile() as output:
            file.write(data)
            file.flush()
            command = [self.program, "-D", "-b", "binary", "-m", machine, "-M", "intel", "--no-show-raw-insn"]
            try:
                # Not a pipe: reading one of 50 MB would hold up the chunks beside this one.
                subprocess.run(
                    [*command, file.name], stdout=output, stderr=subprocess.DEVNULL, timeout=TIME_LIMIT, check=True
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise errors.Failure(f"{self.program} cannot decode x86 instructions: {error}") from error
            output.seek(0)
            text = output.read()
        counts = Counter(_NAMES.findall(text))
        hits = []
        if interesting := [name for name in counts if is_interesting(name.decode())]:
            for match in re.finditer(_OPENING + b"(" + b"|".join(interesting) + rb")(?![a-z0-9_])", text):
                place = text[text.rfind(b"\n", 0, match.start()) + 1 : match.start()]
                hits.append((int(place, 16), _OPERANDS.sub(r"\1\2\3\4\5\6", match[1].decode())))
        return Decoded(Counter({name.decode(): number for name, number in counts.items()}), hits)


class Iced:
    """Decodes with the package iced-x86."""

    def __init__(self, package: Any) -> None:
        self.package = package
        mnemonics = {value: name.lower() for name, value in vars(package.Mnemonic).items() if isinstance(value, int)}
        self.names: dict[int, str] = {}
        for name, value in vars(package.Code).items():
            if isinstance(value, int) and not name.startswith("_"):
                instruction = package.Instruction()
                instruction.code = value
                mnemonic = mnemonics[instruction.mnemonic]
                self.names[value] = mnemonic[:-1] if _STRINGS.fullmatch(name) else mnemonic
        self.interesting = {value for value, name in self.names.items() if is_interesting(name)}

    def decode(self, data: bytes, bits: int) -> Decoded:
        """See instructions.Decoder."""
        decoder = self.package.Decoder(bits, data, ip=0)
        invalid, interesting = self.package.Code.INVALID, self.interesting
        numbers: Counter[int] = Counter()
        hits = []
        while decoder.can_decode:
            for instruction in decoder:
                code = instruction.code
                numbers[code] += 1
                if code in interesting:
                    hits.append((instruction.ip, self.names[code]))
                elif code == invalid:  # objdump goes on with the next byte
                    decoder.position = decoder.ip = instruction.ip + 1
                    break
        counts: Counter[str] = Counter()
        for code, number in numbers.items():
            counts[self.names[code]] += number
        return Decoded(counts, hits)


def find() -> Objdump | Iced | None:
    """The decoder of this machine: iced-x86 where it is installed, else objdump, if it knows x86; else None."""
    try:
        return Iced(importlib.import_module("iced_x86"))
    except ImportError:
        pass
    program = shutil.which("objdump")
    if program:
        try:
            Objdump(program).decode(b"\x90", 64)
        except errors.Failure:
            return None
        return Objdump(program)
    return None
