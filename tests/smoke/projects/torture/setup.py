from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension("smoke_torture", ["smoke_torture.cpp"], language="c++", extra_compile_args=["-O0", "-std=c++17"])
    ],
    packages=[],
)
