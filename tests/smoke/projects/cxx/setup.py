from setuptools import Extension, setup

setup(
    ext_modules=[Extension("smoke_cxx", ["smoke_cxx.cpp"], language="c++", extra_compile_args=["-O0", "-std=c++17"])],
    packages=[],
)
