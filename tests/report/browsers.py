"""Headless Chromium for tests; where it is absent they are skipped, with the reason."""

import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--enable-unsafe-swiftshader"]
        )
        yield launched
        launched.close()


class Watched:
    """Pages of which everything that goes wrong, or is asked for elsewhere, is noted."""

    def __init__(self, browser: Any) -> None:
        self.troubles: list[str] = []
        self._browser, self._contexts = browser, []

    def open(self, address: str, width: int = 1280, **options: Any) -> Any:
        """Open an address: a file, which may ask for nothing, or a server, only for its own."""
        context = self._browser.new_context(viewport={"width": width, "height": 900}, **options)
        context.set_default_timeout(60_000)  # milliseconds, on a busy machine
        self._contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.troubles.append(f"dialog: {dialog.message}"))
        page.on("console", self._said)
        page.on("request", lambda request: self._asked(request.url, address))
        page.on("response", self._answered)
        page.goto(address)
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.troubles.append(f"console: {message.text}")

    def _asked(self, url: str, address: str) -> None:
        own = urlsplit(address)
        same = url == address if own.scheme == "file" else urlsplit(url).netloc == own.netloc
        if not same and not url.startswith(("data:", "blob:")):
            self.troubles.append(f"request: {url[:200]}")

    def _answered(self, response: Any) -> None:
        if response.status >= 400:
            self.troubles.append(f"status {response.status}: {response.url[:200]}")
