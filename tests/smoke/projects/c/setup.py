from setuptools import Extension, setup

setup(ext_modules=[Extension("smoke_c", ["smoke_c.c"], extra_compile_args=["-O0"])], packages=[])
