"""What setuptools cannot read from pyproject.toml yet: the extension module."""

from setuptools import Extension, setup

setup(ext_modules=[Extension("example._native", ["src/example/_native.c"])], package_dir={"": "src"})
