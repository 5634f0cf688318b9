"""Wheels for the stable ABI: abi3, and abi3t, which is the same with and without the GIL (PEP 803)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from .context import LOCAL_BIN, Context, Expected, InstalledInterpreter, Problem, Skip
from .registry import check
from .wheels import built_wheel, has_stable_abi, has_stable_abi_of_both, repaired_wheel


def _stable(expected: Expected) -> bool:
    return "abi3audit" in expected.tools


@check("abi3audit-good", each_interpreter=True, when=_stable, suits=has_stable_abi, heavy=True)
def abi3_good(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """abi3audit audits the abi3 wheel, and finds nothing."""
    said = _abi3audit(context, repaired_wheel(context, interpreter, "abi3", "--only-plat").path)
    if said != [set()]:
        yield f"violations in each object: {said}"


@check("abi3audit-bad", when=_stable, heavy=True)
def abi3_bad(context: Context) -> Iterator[str]:
    """abi3audit refuses a wheel that says abi3 and uses what is not in the stable ABI."""
    interpreter = context.expected.interpreter(context.expected.tools_python)
    if not any(_abi3audit(context, built_wheel(context, interpreter, "abi3", SMOKE_ABI3_BROKEN="1"))):
        yield "a wheel with PyFunction_GetDefaults passed"


def _abi3audit(context: Context, wheel: Path) -> list[set[str]]:
    """The offending symbols of each object that it audited."""
    report = context.directory("abi3audit") / f"{wheel.name}-{wheel.parent.name}.json"
    done = context.run([LOCAL_BIN / "abi3audit", "--verbose", "--report", "--output", report, wheel], status=None)
    if not report.exists():
        raise Problem(f"abi3audit wrote no report: {(done.stdout + done.stderr)[-800:]}")
    specs = json.loads(report.read_text(encoding="utf-8"))["specs"]
    objects = [item["result"] for spec in specs.values() for item in spec.get("wheel", [])]
    return [{*item["non_abi3_symbols"], *item["future_abi3_objects"]} for item in objects]


@check("regression-28-abi3-everywhere", when=lambda e: any(map(has_stable_abi, e.interpreters)), heavy=True)
def abi3_everywhere(context: Context) -> Iterator[str]:
    """The abi3 wheel of the oldest interpreter imports in every newer one."""
    stable = [interpreter for interpreter in context.expected.interpreters if has_stable_abi(interpreter)]
    files = repaired_wheel(context, min(stable, key=lambda i: i.key), "abi3", "--only-plat").files
    environment = {**context.environment, "PYTHONPATH": str(files)}
    for interpreter in stable:
        try:
            context.run(
                [interpreter.python, "-c", "import smoke_abi3; assert smoke_abi3.answer() == 42"], env=environment
            )
        except Problem as problem:
            yield f"{interpreter.tag}: {problem}"


@check("abi3t-everywhere", heavy=True)
def abi3t_everywhere(context: Context) -> Iterator[str]:
    """The wheel that a free-threaded 3.15 builds for both ABIs installs and runs with and without the GIL."""
    both = [interpreter for interpreter in context.expected.interpreters if has_stable_abi_of_both(interpreter)]
    if not both:
        raise Skip("the image has no CPython 3.15 or later, the first with a stable ABI without the GIL (PEP 803)")
    builder = min(both, key=lambda interpreter: (not interpreter.threaded, interpreter.key))
    wheel = repaired_wheel(context, builder, "abi3t", "--only-plat").path
    for interpreter in both:
        target = context.scratch / f"abi3t-{interpreter.tag}"
        context.run([interpreter.python, "-m", "pip", "install", "-q", "--no-index", "--target", target, wheel])
        code = "import smoke_abi3t as m; print(m.answer(), m.__file__)"
        environment = {**context.environment, "PYTHONPATH": str(target)}
        answer, file = context.output([interpreter.python, "-c", code], env=environment).split()
        if answer != "42" or ".abi3t" not in Path(file).name:
            yield f"{interpreter.tag} loaded {file}, which answers {answer}"


# abi3audit 0.0.26 knows no other way to export a module than PyInit_.
EXPORT = {"PyModExport_smoke_abi3t"}


@check("abi3audit-abi3t", each_interpreter=True, when=_stable, suits=has_stable_abi_of_both, heavy=True)
def abi3t_good(context: Context, interpreter: InstalledInterpreter) -> Iterator[str]:
    """abi3audit audits the abi3t wheel, and finds nothing but how the module is exported."""
    objects = _abi3audit(context, repaired_wheel(context, interpreter, "abi3t", "--only-plat").path)
    if not objects:
        yield "it audited nothing"
    for symbols in objects:
        yield from (f"{symbol} is not in the stable ABI" for symbol in sorted(symbols - EXPORT))
