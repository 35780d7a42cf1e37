"""The guides do what they say: their files are written, their commands typed, and one sees what they promise."""

from collections import Counter  # noqa: TC003 # fixtures are made of it
from collections.abc import Callable
from pathlib import Path

import pytest

from documentation.blocks import blocks, pages
from documentation.sandbox import Sandbox

GUIDES = [page for page in pages() if any(block.language == "console" for block in blocks(page))]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_its_commands_do_what_it_says(
    page: Path, new_sandbox: Callable[[Path], Sandbox], counted: "Counter[str]"
) -> None:
    """From the first block to the last one, as a reader would."""
    box = new_sandbox(page)
    for block in blocks(page):
        if block.reason:
            continue
        if block.title:
            box.write(block.title, block.text)
        for command, promised in block.commands() if block.language == "console" else ():
            try:
                box.run(command, promised)
            except AssertionError as error:
                raise AssertionError(f"{block.place}: {error}") from None
            counted["console commands run"] += 1
