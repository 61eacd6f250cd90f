"""Assembles folders for OptunaHub's registry: `make optunahub`, or with a folder as argument.

The code of samplers is that of `zc_search/samplers/portable`, so much of it as each needs.
"""

import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
PORTABLE = HERE.parents[1] / "zc_search" / "samplers" / "portable"
PACKAGES = {
    "samplers": ("regularized_evolution", "predictor_guided"),
    "benchmarks": ("zero_cost_nas",),
}


def assemble(registry: Path) -> list[Path]:
    """Write ``package/KIND/NAME`` for all, replacing earlier ones; return the folders."""
    written = []
    for kind, names in PACKAGES.items():
        for name in names:
            folder = registry / "package" / kind / name
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(HERE / name, folder, ignore=shutil.ignore_patterns("__pycache__"))
            if kind == "samplers":
                shutil.copy(PORTABLE / "LICENSE", folder)
                wanted = _imported(folder / "__init__.py")
                while wanted:
                    module = wanted.pop()
                    if not (folder / module).exists():
                        shutil.copy(PORTABLE / module, folder)
                        wanted |= _imported(PORTABLE / module)
            written.append(folder)
    return written


def _imported(file: Path) -> set[str]:
    found = re.findall(r"^from \.(\w+) import", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {f"{name}.py" for name in found}


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "build/optunahub")
    print(*assemble(target), sep="\n")
