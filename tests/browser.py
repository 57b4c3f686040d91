"""A real browser for the tests of pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from needed import missing
from playwright.sync_api import Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def open_page() -> Iterator[Page]:
    """A page of the system's Chromium that may reach nothing but files and loopback; its errors fail the test."""
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        missing("browser", f"none of {', '.join(NAMES)} is installed")
    errors: list[str] = []
    with sync_playwright() as playwright:
        # Chromium refuses to run as root in its sandbox.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        page = browser.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.route(lambda url: url.startswith("http") and "//127.0.0.1" not in url, lambda route: route.abort())
        page.on("request", lambda request: _only_local(request.url, errors))
        yield page
        browser.close()
    assert errors == []


def _only_local(url: str, errors: list[str]) -> None:
    if url.startswith("http") and "//127.0.0.1" not in url:
        errors.append(f"the page asked for {url}")
