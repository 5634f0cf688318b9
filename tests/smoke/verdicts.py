"""manylinux-doctor: the wheels that this image makes are fit, and what is no wheel is said to be none."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .context import LOCAL_BIN, Context
from .registry import check
from .wheels import repaired_wheel

DOCTOR = LOCAL_BIN / "manylinux-doctor"


@check("doctor-verdict", heavy=True)
def verdict(context: Context) -> Iterator[str]:
    """Repaired wheels fit the image's policy; their instructions are looked at."""
    interpreter = context.expected.interpreter(context.expected.tools_python)
    for kind in ("c", "graft"):
        wheel = repaired_wheel(context, interpreter, kind, "--only-plat").path
        (found,) = json.loads(context.output([DOCTOR, "--json", wheel]))["wheels"]
        errors = [row for row in found["findings"] if row["level"] == "error"]
        if not found["fit"] or not found["lowest"] or errors:
            yield f"manylinux-doctor says of {wheel.name}: {errors or found['lowest']}"
        if found["unscanned"]:
            yield f"manylinux-doctor has not looked at the instructions of {wheel.name}: {found['unscanned']}"


@check("doctor-refuses")
def refuses(context: Context) -> Iterator[str]:
    """A file that is not a wheel is exit status 2 and one line, also through a pattern."""
    directory = context.directory("no-wheel")
    (directory / "p-1-py3-none-any.whl").write_text("no wheel", encoding="utf-8")
    done = context.run([DOCTOR, f"{directory}/*.whl"], status=2)
    if "not a wheel" not in done.stdout or "Traceback" in done.stderr:
        yield f"a file that is not a wheel gets another answer: {done.stdout}{done.stderr}"
