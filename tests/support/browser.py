"""Chromium, whose sans-serif is a font of our choice, and what is wrong with the layout of a page that it shows."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
OPTIONS = ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
OPTIONS += ["--disable-sync"]
PATIENCE_MS = 120_000
"""Anything may take this long: a busy machine needs ten seconds to start a browser."""
FONTS = ("DejaVu Sans", "Liberation Sans", "Noto Sans")
expect.set_options(timeout=PATIENCE_MS)


def missing(font: str) -> bool:
    """Return whether ``font`` is not on this machine."""
    listed = shutil.which("fc-list")
    return listed is None or not subprocess.run([listed, font], capture_output=True, check=True).stdout.strip()


def launch(playwright: Playwright, font: str, folder: Path) -> Browser:
    """Start Chromium on a machine whose only font without serifs is ``font``, as far as Chromium can see."""
    families = ("sans-serif", "system-ui", "Arial", "Helvetica")  # Chromium asks for Arial where a page says sans-serif
    aliases = "".join(
        f'<match target="pattern"><test name="family"><string>{family}</string></test>'
        f'<edit name="family" mode="assign" binding="strong"><string>{font}</string></edit></match>'
        for family in families
    )
    file = folder / f"{font}.conf"
    file.write_text(f"<fontconfig><include>/etc/fonts/fonts.conf</include>{aliases}</fontconfig>")
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    environment: dict[str, str | float | bool] = {**os.environ, "FONTCONFIG_FILE": str(file)}
    return playwright.chromium.launch(
        executable_path=CHROMIUM, args=OPTIONS + as_root, timeout=PATIENCE_MS, env=environment
    )


@contextmanager
def shown(browser: Browser, text: str, file: Path) -> Iterator[tuple[Page, list[str]]]:
    """Open ``text`` without a network and wait until it is drawn. The list is of all complaints and requests."""
    file.write_text(text, encoding="utf-8")
    context = browser.new_context(offline=True, viewport={"width": 1100, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    tab = context.new_page()
    heard: list[str] = []
    tab.on("console", lambda message: heard.append(f"console: {message.text}"))
    tab.on("pageerror", lambda error: heard.append(f"error: {error}"))
    tab.on("request", lambda request: heard.append(f"request: {request.url}"))
    tab.goto(file.as_uri())
    tab.wait_for_function("document.querySelector('#chart').dataset.drawn")
    heard.remove(f"request: {file.as_uri()}")
    yield tab, heard
    context.close()


def resize(tab: Page, width: int) -> None:
    """Give the window a width in pixels, and wait until the page is drawn for it."""
    tab.set_viewport_size({"width": width, "height": 900})
    tab.wait_for_function(
        "(chart => chart.dataset.drawn === String(chart.clientWidth))(document.querySelector('#chart'))"
    )


def faults(tab: Page) -> list[str]:
    """Return what is cut, overlaps, or is wider than what contains it, in a page or in a picture alone."""
    found: list[str] = tab.evaluate(FAULTS)
    return found


FAULTS = """() => {
  const found = [];
  const across = document.documentElement.scrollWidth;
  if (across > innerWidth) found.push(`the page scrolls: ${across} pixels in a window of ${innerWidth}`);
  const outside = (box, around) => box.left < around.left - 1 || box.right > around.right + 1
    || box.top < around.top - 1 || box.bottom > around.bottom + 1;
  const picture = document.querySelector("#chart svg") ?? document.querySelector("svg");
  const frame = picture.getBoundingClientRect();
  const container = document.querySelector("#chart");
  if (container) {
    const room = container.getBoundingClientRect();
    if (outside(frame, room)) found.push("the picture is larger than its container");
    const figure = container.parentElement.getBoundingClientRect();
    if (room.width < figure.width) found.push(`the container has ${room.width} of ${figure.width} pixels`);
    if (frame.width < 0.9 * room.width) found.push(`the picture has ${frame.width} of ${room.width} pixels`);
  }
  const texts = [...picture.querySelectorAll("text")]
    .filter(text => text.textContent.trim() && getComputedStyle(text).opacity > 0)
    .map(text => ({ says: text.textContent, box: text.getBoundingClientRect() }));
  for (const { says, box } of texts) {
    if (outside(box, frame)) found.push(`cut off in the picture: ${says}`);
    if (says.includes("\\u2026")) found.push(`shortened in the picture: ${says}`);
  }
  texts.forEach((one, index) => {
    for (const other of texts.slice(index + 1)) {
      const x = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
      const y = Math.min(one.box.bottom, other.box.bottom) - Math.max(one.box.top, other.box.top);
      if (x > 1 && y > 2) found.push(`overlap in the picture: ${one.says} and ${other.says}`);
    }
  });
  const walker = document.createTreeWalker(document.body ?? picture, NodeFilter.SHOW_TEXT);
  while (container && walker.nextNode()) {
    const node = walker.currentNode, block = node.parentElement.closest("td,th,li,p,dd,dt,h1,h2,figcaption");
    if (!block || picture.contains(node) || !node.textContent.trim()) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const around = block.getBoundingClientRect(), body = document.body.getBoundingClientRect();
    for (const box of range.getClientRects())
      if (box.right > around.right + 1 || box.left < around.left - 1 || box.right > body.right + 1)
        { found.push(`wider than its place: ${node.textContent}`); break; }
  }
  return found;
}"""
