import os

from setuptools import Extension, setup

# SMOKE_ABI3_BROKEN makes a wheel that says abi3 and is not: what abi3audit is for.
broken = os.environ.get("SMOKE_ABI3_BROKEN")
setup(
    ext_modules=[
        Extension(
            "smoke_abi3",
            ["smoke_abi3.c"],
            define_macros=[("SMOKE_ABI3_BROKEN", "1")] if broken else [("Py_LIMITED_API", "0x03080000")],
            py_limited_api=True,
            extra_compile_args=["-O0"],
        )
    ],
    packages=[],
    options={"bdist_wheel": {"py_limited_api": "cp38"}},
)
