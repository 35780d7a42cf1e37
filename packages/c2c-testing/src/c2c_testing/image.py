"""Compare images with expected ones by their structural similarity. Needs the extra ``c2c-testing[images]``."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

try:
    from c2c_testing import _pixels
except ImportError as _error:
    raise ImportError(f"{_error}: pip install 'c2c-testing[images]'") from _error

Name = str | os.PathLike[str]

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

__all__ = ["check_image", "check_image_file", "check_screenshot", "normalize_image"]


def check_image(
    result_folder: Name,
    image: Any,
    expected_filename: Name,
    level: float = 1.0,
    generate_expected_image: bool = False,
    use_mask: bool = True,
) -> None:
    """Check that an image looks like the expected one.

    For ``name.expected.png`` or ``name.png``, the mask is ``name.mask.png`` in the same folder, if it is there: where
    it is dark, nothing is compared. On failure the result folder gets ``name.actual.png`` and ``name.diff.png``: what
    differs is red, also what one of two images of different sizes has more.

    Args:
        result_folder: made if it is missing
        image: a Pillow image, or a numpy array of shape (height, width), (height, width, 3) or (height, width, 4),
            of bytes (0 to 255), of floats (0 to 1) or of booleans
        expected_filename: the file with the expected image, in a format that Pillow reads
        level: the least structural similarity (mean over pixels and colours), 1 for the same image and down to -1
        generate_expected_image: write the expected file and check nothing
        use_mask: whether to look for a mask

    Raises:
        AssertionError: the images differ, or there is no expected one; the message has the files and what to do
        ValueError: the image, the mask or the level cannot be
    """
    if not -1 <= level <= 1:
        raise ValueError(f"level={level}: a structural similarity is between -1 and 1")
    actual = _pixels.image(image)
    expected_file = Path(expected_filename)
    if generate_expected_image:
        expected_file.parent.mkdir(parents=True, exist_ok=True)
        actual.save(expected_file)
        return
    name = expected_file.stem.removesuffix(".expected")
    results = Path(result_folder)
    results.mkdir(parents=True, exist_ok=True)
    actual_file, diff_file = results / f"{name}.actual.png", results / f"{name}.diff.png"
    diff_file.unlink(missing_ok=True)  # of an earlier run
    if not expected_file.exists():
        actual.save(actual_file)
        raise AssertionError(
            f"There is no expected image {expected_file}: if {actual_file} is good, copy it there, "
            "or run once with generate_expected_image=True"
        )
    expected = _pixels.load(expected_file)
    if actual.size != expected.size:
        actual.save(actual_file)
        _pixels.compare(*_pixels.of_one_size(actual, expected), None)[1].save(diff_file)
        raise AssertionError(
            f"{_pixels.size(actual)} pixels in {actual_file}, {_pixels.size(expected)} in {expected_file}; "
            f"see {diff_file}"
        )
    mask_file = expected_file.with_name(f"{name}.mask.png")
    mask = _pixels.load(mask_file) if use_mask and mask_file.exists() else None
    if mask and mask.size != expected.size:
        raise ValueError(
            f"{_pixels.size(mask)} pixels in the mask {mask_file}, {_pixels.size(expected)} in {expected_file}"
        )
    score, diff = _pixels.compare(actual, expected, mask)
    if score < level:
        actual.save(actual_file)
        diff.save(diff_file)
        raise AssertionError(f"{actual_file} differs from {expected_file}: {score} < {level}; see {diff_file}")


def normalize_image(image: Any) -> Any:
    """Return an image as a numpy array of bytes, shape (height, width, 3): over white, where it is transparent.

    Args:
        image: as for ``check_image``

    Raises:
        ValueError: it is no image
    """
    return _pixels.over_white(image)


def check_image_file(
    result_folder: Name,
    image_filename: Name,
    expected_filename: Name,
    level: float = 1.0,
    generate_expected_image: bool = False,
    use_mask: bool = True,
) -> None:
    """Check that the image in a file looks like the expected one: see ``check_image``."""
    image = _pixels.load(Path(image_filename))
    check_image(result_folder, image, expected_filename, level, generate_expected_image, use_mask)


def check_screenshot(  # noqa: PLR0913, PLR0917 - those of check_image and of the page
    url: str,
    result_folder: Name,
    expected_filename: Name,
    width: int = 800,
    height: int = 600,
    sleep: int = 100,
    headers: Mapping[str, str] | None = None,
    media: Sequence[Mapping[str, str]] | None = None,
    level: float = 1.0,
    generate_expected_image: bool = False,
    use_mask: bool = True,
) -> None:
    """Check that a page, as a headless Chromium shows it, looks like the expected image: see ``check_image``.

    Needs the extra ``c2c-testing[screenshots]`` and a Chromium on ``PATH``.

    Args:
        url: of the page
        result_folder: as for ``check_image``
        expected_filename: as for ``check_image``
        width: of the window, in pixels
        height: of the window, in pixels
        sleep: milliseconds between the page's load event and the screenshot
        headers: sent with each request of the page
        media: features of CSS, such as ``[{"name": "prefers-color-scheme", "value": "dark"}]``
        level: as for ``check_image``
        generate_expected_image: as for ``check_image``
        use_mask: as for ``check_image``

    Raises:
        RuntimeError: there is no Chromium, or it cannot show the page; the message says why
    """
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise RuntimeError(f"{error}: pip install 'c2c-testing[screenshots]'") from error
    program = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if program is None:
        raise RuntimeError(f"No Chromium on PATH ({', '.join(_CHROMIUM)}): on Debian, apt install chromium")
    try:
        with sync_playwright() as driver:
            # Chromium refuses root a sandbox.
            browser = driver.chromium.launch(executable_path=program, chromium_sandbox=os.geteuid() != 0)
            page = browser.new_page(viewport={"width": width, "height": height}, extra_http_headers={**(headers or {})})
            features = {"features": [dict(feature) for feature in media or ()]}
            page.context.new_cdp_session(page).send("Emulation.setEmulatedMedia", features)
            page.goto(url)
            page.wait_for_timeout(sleep)
            png = page.screenshot()
            browser.close()
    except Error as error:
        raise RuntimeError(f"Chromium cannot show {url}: {error}") from error
    check_image(result_folder, _pixels.decode(png), expected_filename, level, generate_expected_image, use_mask)
