#!/usr/bin/env python3
"""How long the doctor takes for wheels of the Python index, beside `auditwheel show`, and how fast it decodes.

Measured are the doctor without the scan of instructions and with it, each in a process of its own, and objdump and
iced-x86 on the largest object. Exits with 1 when a wheel of 20 MB takes 3 seconds without the scan, or objdump decodes
less than a million instructions a second: goals for a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from doctor import code, decoders, elf  # noqa: E402
from doctor.instructions import Scanner  # noqa: E402
from doctor.wheel import Wheel  # noqa: E402
from portable.environment import for_pip  # noqa: E402

WHEELS = ("markupsafe", "pyzmq", "numpy", "scipy")
SECONDS_FOR_20_MB = 3.0
INSTRUCTIONS_A_SECOND = 1_000_000


def seconds(command: list[str], expected: tuple[int, ...] = (0, 1)) -> float:
    """How long a command takes. Raises CalledProcessError where it does not end with an expected status."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True)
    if done.returncode not in expected:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return time.perf_counter() - start


def installed_auditwheel(environment: Path) -> str:
    """The auditwheel that the images carry, in an environment of its own. Raises CalledProcessError."""
    lock = ROOT / "requirements/tools/auditwheel.txt"
    options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement", str(lock)]
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    subprocess.run([environment / "bin/pip", "install", *options], env=for_pip(), check=True)
    return str(environment / "bin/auditwheel")


def decoding(wheels: list[Path]) -> dict[str, float]:
    """Instructions a second of each decoder, on the largest object of the wheels."""
    largest = b""
    for path in wheels:
        with Wheel.open(path) as wheel:
            largest = max([largest, *(data for _, data in wheel.objects())], key=len)
    parsed = elf.parse(largest)
    joined = code.join(code.regions(parsed, largest), largest)
    count = sum((decoders.find() or decoders.Objdump("objdump")).decode(joined.data, parsed.bits).counts.values())
    found: dict[str, float] = {}
    for decoder in (decoders.find() or decoders.Objdump("objdump"), decoders.Objdump("objdump")):
        start = time.perf_counter()
        Scanner(decoder).scan(parsed, largest)
        found[type(decoder).__name__.lower()] = round(count / (time.perf_counter() - start))
    return found


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", nargs="*", type=Path, help="wheels to measure (default: some of the Python index)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        wheels: list[Path] = options.wheel
        if not wheels:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
            subprocess.run([*pip, "--dest", directory, *WHEELS], env=for_pip(), check=True)
            wheels = sorted(Path(directory).glob("*.whl"))
        auditwheel = installed_auditwheel(Path(directory, "environment"))
        doctor = [sys.executable, str(ROOT / "scripts"), "doctor", "--json"]
        rows, ok = [], True
        for wheel in wheels:
            megabytes = wheel.stat().st_size / 1e6
            row: dict[str, object] = {"wheel": wheel.name, "MB": round(megabytes, 1)}
            row["without scan"] = taken = round(seconds([*doctor, "--no-scan", str(wheel)]), 2)
            row["with scan"] = round(seconds([*doctor, str(wheel)]), 2)
            row["auditwheel show"] = round(seconds([auditwheel, "show", str(wheel)]), 2)
            ok = ok and taken < SECONDS_FOR_20_MB * max(1, megabytes / 20)
            rows.append(row)
        speed = decoding(wheels)
    json.dump({"wheels": rows, "instructions a second": speed}, sys.stdout, indent=2)
    print()
    return 0 if ok and speed["objdump"] >= INSTRUCTIONS_A_SECOND else 1


if __name__ == "__main__":
    sys.exit(main())
