"""The site: complete, without a look at the network, and linked to what exists. `make docs` builds it before."""

import importlib.metadata
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from documentation.blocks import ROOT, pages

SITE = ROOT / "site"
PACKAGES = sorted(path.parent.name for path in ROOT.glob("packages/*/pyproject.toml"))
_LINK = re.compile(r"\]\((https?://[^)\s]+)\)")


class _Fetched(HTMLParser):
    """Collects what a browser fetches to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the address of scripts, styles, icons and images."""
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.urls.append(given.get("src") or "")
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload", "preconnect"):
            self.urls.append(given.get("href") or "")


def _html() -> list[Path]:
    found = sorted(SITE.rglob("*.html"))
    assert found, "build it: make docs"
    return found


def test_no_page_fetches_anything_from_elsewhere() -> None:
    """Fonts, styles, scripts and images are the site's own."""
    for page in _html():
        parser = _Fetched()
        parser.feed(page.read_text(encoding="utf-8"))
        elsewhere = [url for url in parser.urls if urlsplit(url).netloc]
        assert not elsewhere, f"{page.relative_to(SITE)}: {elsewhere}"
    for style in SITE.rglob("*.css"):
        assert not re.search(r"url\(['\"]?https?:", style.read_text(encoding="utf-8")), style


@pytest.mark.parametrize("name", PACKAGES)
def test_each_package_has_its_pages(name: str) -> None:
    """The README, and the API with its public names."""
    module = name.replace("-", "_")
    assert (SITE / "packages" / f"{name}.html").exists()
    api = (SITE / "reference" / "api" / f"{module}.html").read_text(encoding="utf-8")
    assert f'id="{module}"' in api


def test_public_names_are_in_the_api() -> None:
    """A name of ``__all__`` has its place, with what its docstring says."""
    api = (SITE / "reference/api/c2c_health.html").read_text(encoding="utf-8")
    assert 'id="c2c_health.HealthCheck"' in api
    assert 'id="c2c_health.HealthCheck.add_url_check"' in api
    assert 'id="c2c_health.gunicorn.when_ready"' in api


def test_every_settings_class_is_on_the_settings_page() -> None:
    """What c2c-settings shows is documented."""
    text = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    for entry in importlib.metadata.entry_points(group="c2c.settings"):
        name = entry.value.replace(":", ".")
        assert f"<!-- settings: {name} -->" in text, f"{name}: add it to docs/reference/settings.md"


def test_every_command_is_on_the_commands_page() -> None:
    """Each script of each package is documented."""
    text = (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")
    packages = {name for name in PACKAGES if name != "c2c-compat"}
    for script in importlib.metadata.entry_points(group="console_scripts"):
        if script.dist and script.dist.name in packages:
            assert f"| `{script.name}" in text, f"{script.name}: add it to docs/reference/commands.md"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_elsewhere_are_addresses(page: Path) -> None:
    """They are well formed, by https; whether they answer is not asked."""
    for url in _LINK.findall(page.read_text(encoding="utf-8")):
        parts = urlsplit(url)
        assert parts.scheme == "https", url
        assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.netloc), url
