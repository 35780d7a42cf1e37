"""The pages that have no file under docs/: READMEs, the API of each package, and commands."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "packages"
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
_INCLUDE = re.compile(r"^<!-- include: (\S+) -->$", re.MULTILINE)
_README = re.compile(r"(?:\.\./|(?:\.\./\.\./)?packages/)(c2c-[a-z]+)(?:/(?:README\.md)?)?(#.*)?$")


def package_names() -> list[str]:
    """Return the names of our distributions."""
    return sorted(path.parent.name for path in PACKAGES.glob("*/pyproject.toml"))


def generated() -> Iterator[tuple[str, str]]:
    """Give ``(page, Markdown)`` of each page that is made of something else."""
    yield "index.md", relinked(_read("README.md"), "index.md")
    yield "contributing.md", relinked(_read("CONTRIBUTING.md"), "contributing.md")
    for name in package_names():
        page = f"packages/{name}.md"
        yield page, relinked(_read(f"packages/{name}/README.md"), page)
        module = name.replace("-", "_")
        yield f"reference/api/{module}.md", api(module, PACKAGES / name / "src" / module)


def relinked(text: str, page: str) -> str:
    """Return a README's text with its links leading to pages of the site.

    What is no page (a folder of tests, say) is left as text, because the site has no copy of it.
    """
    up = "../" * page.count("/")

    def replace(match: re.Match[str]) -> str:
        words, target = match[1], match[2]
        if "://" in target or target.startswith(("#", "mailto:")):
            return match[0]
        if found := _README.match(target):
            return f"[{words}]({up}packages/{found[1]}.md{found[2] or ''})"
        if Path(target).name == "CONTRIBUTING.md":
            return f"[{words}]({up}contributing.md)"
        if found := re.match(r"(?:\.\./\.\./)?docs/(\S+\.md(?:#\S*)?)$", target):
            return f"[{words}]({up}{found[1]})"
        return words

    return _outside_of_code(text, lambda part: _LINK.sub(replace, part))


def _outside_of_code(text: str, change: Callable[[str], str]) -> str:
    """Return a text with its parts between blocks of code changed: in code a bracket is no link, a # no title."""
    parts = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if number % 2 else change(part) for number, part in enumerate(parts))


def included(text: str, page: str) -> str:
    """Return a page's text with the READMEs that it includes, a level deeper, without their titles."""

    def replace(match: re.Match[str]) -> str:
        readme = relinked(_read(match[1]), page).split("\n", 1)[1]
        return _outside_of_code(readme, lambda part: re.sub(r"^(#+ )", r"#\1", part, flags=re.MULTILINE))

    return _INCLUDE.sub(replace, text)


def api(module: str, folder: Path) -> str:
    """Return the page of a package's API: the package and its modules that have a public name."""
    names = [module]
    names += sorted(f"{module}.{path.stem}" for path in folder.glob("*.py") if not path.stem.startswith("_"))
    parts = [f"# {module}", *(f"::: {name}" for name in names)]
    return "\n\n".join(parts) + "\n"


def _read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")
