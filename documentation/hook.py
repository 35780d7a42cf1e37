"""The hook of mkdocs: adds the pages that are made of READMEs and docstrings to the site, and pictures."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from documentation.blocks import ROOT

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
_INCLUDE = re.compile(r"^<!-- include: (\S+) -->$", re.MULTILINE)
_README = re.compile(r"(?:\.\./|(?:\.\./\.\./)?packages/)(c2c-[a-z]+)(?:/(?:README\.md)?)?(#.*)?$")


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages (mkdocs calls this once a build)."""
    for page, text in _generated():
        files.append(File.generated(config, page, content=text))
    for picture in ROOT.glob("packages/*/screenshots/*.png"):
        # Where the package's page looks for it, and the README's.
        for place in (f"packages/screenshots/{picture.name}", picture.relative_to(ROOT).as_posix()):
            files.append(File.generated(config, place, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Put READMEs where a page includes them, a level deeper, without their titles (mkdocs calls this for each)."""

    def readme(match: re.Match[str]) -> str:
        text = _relinked(match[1], page.file.src_uri).split("\n", 1)[1]
        return _outside_of_code(text, lambda part: re.sub(r"^(#+ )", r"#\1", part, flags=re.MULTILINE))

    return _INCLUDE.sub(readme, markdown)


def _generated() -> Iterator[tuple[str, str]]:
    """Give ``(page, Markdown)`` of each page that is made of something else."""
    yield "index.md", _relinked("README.md", "index.md")
    yield "contributing.md", _relinked("CONTRIBUTING.md", "contributing.md")
    for folder in sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml")):
        page, module = f"packages/{folder.name}.md", folder.name.replace("-", "_")
        yield page, _relinked(f"packages/{folder.name}/README.md", page)
        public = sorted(path.stem for path in (folder / "src" / module).glob("*.py") if path.stem[0] != "_")
        names = [module, *(f"{module}.{name}" for name in public)]
        yield f"reference/api/{module}.md", "\n\n".join([f"# {module}", *(f"::: {name}" for name in names)]) + "\n"


def _relinked(file: str, page: str) -> str:
    """Return a file's text with its links leading to pages of the site.

    What is no page (a folder of tests, say) is left as text, because the site has no copy of it.
    """
    up = "../" * page.count("/")

    def replace(match: re.Match[str]) -> str:
        words, target = match[1], match[2]
        if "://" in target or target.startswith(("#", "mailto:")):
            return match[0]
        if found := _README.match(target):
            return f"[{words}]({up}packages/{found[1]}.md{found[2] or ''})"
        if target.endswith("CONTRIBUTING.md"):
            return f"[{words}]({up}contributing.md)"
        if found := re.match(r"(?:\.\./\.\./)?docs/(\S+\.md(?:#\S*)?)$", target):
            return f"[{words}]({up}{found[1]})"
        return words

    return _outside_of_code((ROOT / file).read_text(encoding="utf-8"), lambda part: _LINK.sub(replace, part))


def _outside_of_code(text: str, change: Callable[[str], str]) -> str:
    """Return a text with its parts between blocks of code changed: in code a bracket is no link, a # no title."""
    parts = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if number % 2 else change(part) for number, part in enumerate(parts))
