"""Pages in a real browser: Debian's Chromium through Playwright, without a network."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
# What a page may ask for: what it carries, files, and a server on this machine.
LOCAL = ("file:", "data:", "blob:", "about:", "http://127.0.0.1:")
SWITCHES = (
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium with a fake camera; closed after each module, as its event loop is in the way of
    others."""
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=SWITCHES)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where every page is kept as its test left it; pytest keeps the folders of three runs."""
    return tmp_path_factory.mktemp("screenshots")


@pytest.fixture
def visit(
    browser: Browser, screenshots: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Page]]:
    """Open an address: `visit(address, viewport={...}, locale="zh-CN", color_scheme="dark")`.

    Afterwards each page is a screenshot, had no uncaught error and asked nobody but this machine.
    """
    pages: list[Page] = []
    errors: list[str] = []
    asked: list[str] = []

    def open_page(address: str, **options: Any) -> Page:
        options = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB"} | options
        page = browser.new_context(**options).new_page()
        pages.append(page)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.context.on("request", lambda sent: asked.append(sent.url))
        page.set_default_timeout(10_000)
        page.goto(address)
        return page

    yield open_page
    for number, page in enumerate(pages):
        page.screenshot(path=screenshots / f"{request.node.name}-{number}.png", full_page=True)
        page.context.close()
    assert errors == []
    assert [url for url in asked if not url.startswith(LOCAL)] == []


@pytest.fixture
def violations() -> Callable[[Page], list[str]]:
    """What axe-core finds wrong with a page for people who use it without eyes or a mouse: the
    rules of WCAG 2.2 A and AA, serious and critical."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    rules = {"runOnly": {"type": "tag", "values": tags}}

    def check(page: Page) -> list[str]:
        found = axe.Axe().run(page, options=rules).response["violations"]
        return [
            f"{each['id']}: {each['help']}: {node['html'][:200]}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]

    return check
