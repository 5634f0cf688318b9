import os

from setuptools import Extension, setup

name = "smoke_" + os.environ["SMOKE_PAIR"]
setup(
    name=name,
    version="1.0",
    ext_modules=[
        Extension(
            name,
            ["smoke_pair.cpp"],
            language="c++",
            define_macros=[("NAME", name)],
            extra_compile_args=["-O0", "-std=c++17"],
        )
    ],
    packages=[],
)
