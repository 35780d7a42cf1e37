"""The hook of mkdocs: adds the pages that are made of READMEs and docstrings to the site."""

from typing import Any

from mkdocs.structure.files import File, Files

from documentation.pages import generated


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages (mkdocs calls this once a build)."""
    for page, text in generated():
        files.append(File.generated(config, page, content=text))
    return files
