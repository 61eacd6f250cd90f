"""Count the modules of zc_search in which a function runs during one search, TOML to report.

python tests/measurements/modules_passed.py [configs/search.toml]
"""

import sys
import tempfile
import threading
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from types import FrameType

seen: set[str] = set()


def profile(frame: FrameType, event: str, argument: object) -> None:
    if event == "call":
        seen.add(frame.f_code.co_filename)


def main(config: str = "configs/search.toml") -> None:
    import zc_search

    here = Path(zc_search.__file__).parent
    for module in walk_packages(zc_search.__path__, "zc_search."):  # imports are not counted
        if not module.name.endswith("__main__"):
            import_module(module.name)
    with tempfile.TemporaryDirectory() as folder:
        threading.setprofile(profile)
        sys.setprofile(profile)
        settings = zc_search.load_config(
            config,
            [
                "study.n_trials=40",
                "space.channels=2",
                "space.cells=1",
                "proxies.cache=off",
                f"output.folder={folder}",
            ],
        )
        zc_search.run_search(settings)
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    modules = set(here.rglob("*.py"))  # templates, compiled under their own names, are not counted
    ours = sorted(str(Path(f).relative_to(here)) for f in seen if Path(f) in modules)
    for name in ours:
        print(name)
    print(len(ours), "modules of", len(modules))


if __name__ == "__main__":
    main(*sys.argv[1:])
