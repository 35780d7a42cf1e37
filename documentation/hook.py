"""The hook of mkdocs: adds the pages that are made of READMEs and docstrings to the site."""

from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from documentation.pages import PACKAGES, ROOT, generated, included


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages (mkdocs calls this once a build)."""
    for page, text in generated():
        files.append(File.generated(config, page, content=text))
    for picture in PACKAGES.glob("*/screenshots/*.png"):
        # Where the package's page looks for it, and the README's.
        for place in (f"packages/screenshots/{picture.name}", picture.relative_to(ROOT).as_posix()):
            files.append(File.generated(config, place, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Put READMEs where a page includes them (mkdocs calls this for each page)."""
    return included(markdown, page.file.src_uri)
