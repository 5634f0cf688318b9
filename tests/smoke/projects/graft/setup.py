# An extension and an executable in one package, linked to private libraries that a repaired wheel must carry.
import os

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

LIBRARIES = ["smoke_private"] + [f"smoke_many{number}" for number in range(1, 31)]
# patchelf replaces this with a short one; a replacement that is longer needs room, one that is shorter leaves some.
LONG = "/nowhere/" + "x" * 200


class BuildWithTool(build_ext):
    def run(self):
        super().run()
        objects = self.compiler.compile(["tool.c"], output_dir=self.build_temp)
        directory = os.path.join(self.build_lib, "smoke_graft")
        os.makedirs(directory, exist_ok=True)
        tool = os.path.join(directory, "tool")
        self.compiler.link_executable(objects, tool, libraries=LIBRARIES, extra_postargs=["-Wl,-rpath," + LONG])
        os.chmod(tool, 0o755)


setup(
    packages=["smoke_graft"],
    ext_modules=[
        Extension(
            "smoke_graft._graft",
            ["graft.c"],
            libraries=LIBRARIES,
            extra_compile_args=["-O0"],
            extra_link_args=["-Wl,-rpath," + LONG, "-Wl,--no-as-needed"],
        )
    ],
    cmdclass={"build_ext": BuildWithTool},
)
