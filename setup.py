"""Puts into the wheel the examples that a checkout has beside the package."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithExamples(build_py):
    """Builds the package, and copies search files and notebooks to where the command looks."""

    def run(self) -> None:
        """Build, then copy; an editable installation has the folders themselves."""
        super().run()
        if self.editable_mode:
            return
        for pattern in ("configs/*.toml", "notebooks/*.ipynb"):
            for file in sorted(Path().glob(pattern)):
                target = Path(self.build_lib, "zc_search", "_examples", file)
                self.mkpath(str(target.parent))
                self.copy_file(str(file), str(target))


setup(cmdclass={"build_py": WithExamples})
