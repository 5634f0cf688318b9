# One wheel for 3.15 and later, with or without the GIL (PEP 803). Any 3.15 can build it. setuptools names file and tag
# for it only where a free-threaded one does, so this does the same for the others.
from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext


class BuildAbi3t(build_ext):
    def get_ext_filename(self, fullname):
        return super().get_ext_filename(fullname).replace(".abi3-", ".abi3t-").replace(".abi3.", ".abi3t.")


class WheelAbi3t(bdist_wheel):
    def get_tag(self):
        python, _, platform = super().get_tag()
        return python, "abi3.abi3t", platform


setup(
    ext_modules=[
        Extension(
            "smoke_abi3t",
            ["smoke_abi3t.c"],
            define_macros=[("Py_LIMITED_API", "0x030f0000"), ("Py_TARGET_ABI3T", "0x030f0000")],
            py_limited_api=True,
            extra_compile_args=["-O0"],
        )
    ],
    packages=[],
    cmdclass={"build_ext": BuildAbi3t, "bdist_wheel": WheelAbi3t},
    options={"bdist_wheel": {"py_limited_api": "cp315"}},
)
