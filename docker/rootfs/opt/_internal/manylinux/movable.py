"""Makes directories that can be renamed of directories that a lower layer of the image holds.

Overlay file systems refuse to rename those: https://docs.kernel.org/filesystems/overlayfs.html#renaming-directories
"""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from portable import errors


def make_movable(directory: Path) -> None:
    """Puts a copy in the place of a directory that cannot be renamed. Raises Failure, with the old one as it was."""
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}-") as scratch:
        aside = Path(scratch, "directory")
        try:
            directory.rename(aside)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            copy(directory, aside)
            try:
                shutil.rmtree(directory)
            except BaseException:
                shutil.rmtree(directory, ignore_errors=True)
                aside.rename(directory)
                raise
        aside.rename(directory)


def copy(source: Path, target: Path) -> None:
    """A copy with owners, dates and hard links. Raises Failure."""
    status = subprocess.run(["cp", "-a", str(source), str(target)], check=False).returncode
    if status:
        raise errors.Failure(f"{source} could not be copied: cp ended with status {status}")


def main() -> None:
    """Makes every directory of the command line movable."""
    for name in sys.argv[1:]:
        try:
            make_movable(Path(name))
        except OSError as error:
            raise errors.Failure(str(error)) from None


if __name__ == "__main__":
    sys.exit(errors.run(main))
