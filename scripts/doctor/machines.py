"""Machines: ELF's numbers for them, and what wheels' tags call them."""

from __future__ import annotations

MACHINES = {3: "i686", 62: "x86_64", 183: "aarch64", 40: "armv7l", 22: "s390x", 243: "riscv64", 258: "loongarch64"}
IRELATIVE = {3: 42, 62: 37, 183: 1032, 40: 160, 21: 248, 22: 61, 243: 58}  # the relocations that call a resolver


def machine_name(code: int, wide: bool, order: str) -> str:
    """The platform of a machine's number, as wheels' tags call it; the number itself where there is none."""
    if code == 21:
        return "ppc64le" if order == "<" else "ppc64"
    if (code == 62 and not wide) or (code == 183 and (not wide or order == ">")):
        return f"{code}/{32 if not wide else 64}{order}"  # x32, big-endian aarch64: no tag means these
    return MACHINES.get(code, str(code))
