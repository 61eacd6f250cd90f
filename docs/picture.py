"""Make docs/report.png, the first screen of a run's report: ``python docs/picture.py runs/search``.

It needs Playwright and Chromium; the run is that of ``configs/search.toml``.
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1100, 860


def main(run: Path) -> None:
    """Photograph the report of a run in its light colours, with 128 of them."""
    out = Path(__file__).with_name("report.png")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.set_default_timeout(300_000)
        page.goto((run / "report.html").resolve().as_uri())
        page.wait_for_timeout(2_000)
        shot = page.screenshot(animations="disabled")
        browser.close()
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    picture.quantize(128).save(out, optimize=True)
    sys.stdout.write(f"wrote {out}, {out.stat().st_size / 1e3:.0f} kB\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
