"""Compare images with expected ones by their structural similarity. Needs the extra ``c2c-testing[images]``."""

import io
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

try:
    import numpy as np
    from PIL import Image
    from skimage.metrics import structural_similarity  # type: ignore[import-not-found,import-untyped,unused-ignore]
except ImportError as _error:
    raise ImportError(f"{_error}: pip install 'c2c-testing[images]'") from _error

Name = str | os.PathLike[str]

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

_WINDOW = 7  # pixels: the side of the square in which skimage compares
_SMALLEST_WINDOW = 3
_HALF = 128
_WHITE = 255
_RED = (255, 0, 0)

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
    actual = _image(image)
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
    expected = _load(expected_file)
    if actual.size != expected.size:
        actual.save(actual_file)
        _compare(*_of_one_size(actual, expected), None)[1].save(diff_file)
        raise AssertionError(
            f"{_size(actual)} pixels in {actual_file}, {_size(expected)} in {expected_file}; see {diff_file}"
        )
    mask_file = expected_file.with_name(f"{name}.mask.png")
    mask = _load(mask_file) if use_mask and mask_file.exists() else None
    if mask and mask.size != expected.size:
        raise ValueError(f"{_size(mask)} pixels in the mask {mask_file}, {_size(expected)} in {expected_file}")
    score, diff = _compare(actual, expected, mask)
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
    found = _image(image)
    return np.asarray(Image.alpha_composite(Image.new("RGBA", found.size, "white"), found).convert("RGB"))


def check_image_file(
    result_folder: Name,
    image_filename: Name,
    expected_filename: Name,
    level: float = 1.0,
    generate_expected_image: bool = False,
    use_mask: bool = True,
) -> None:
    """Check that the image in a file looks like the expected one: see ``check_image``."""
    image = _load(Path(image_filename))
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
    check_image(result_folder, _decode(png), expected_filename, level, generate_expected_image, use_mask)


def _load(path: Path) -> Image.Image:
    """Return the image in a file; FileNotFoundError and ValueError name it."""
    with path.open("rb") as file:
        return _decoded(file, str(path))


def _decode(data: bytes) -> Image.Image:
    """Return the image in the bytes of a file."""
    return _decoded(io.BytesIO(data), "the data")


def _decoded(file: Any, name: str) -> Image.Image:
    try:
        with Image.open(file) as opened:
            opened.load()
            return opened.convert("RGBA")
    except OSError as error:  # UnidentifiedImageError is one too
        raise ValueError(f"No image in {name}: {error}") from error


def _image(given: Any) -> Image.Image:
    """Return a Pillow image or an array as an image with colours and transparency."""
    if isinstance(given, Image.Image):
        return given.convert("RGBA")
    array = np.asarray(given)
    if array.dtype == bool or np.issubdtype(array.dtype, np.floating):
        array = np.clip(np.rint(array * float(_WHITE)), 0, _WHITE).astype(np.uint8)
    if array.ndim == 3 and array.shape[2] == 1:  # noqa: PLR2004 - height, width, colours
        array = array[:, :, 0]
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):  # noqa: PLR2004
        raise ValueError(f"No image: an array of {array.dtype}, shape {array.shape}")
    return Image.fromarray(array).convert("RGBA")


def _size(image: Image.Image) -> str:
    """Return the size as people write it."""
    return f"{image.width} x {image.height}"


def _of_one_size(one: Image.Image, other: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Return two images with what each lacks of the greater width and height, transparent."""
    box = (0, 0, max(one.width, other.width), max(one.height, other.height))
    # To crop beyond the edge adds what is transparent there.
    return one.crop(box), other.crop(box)


def _compare(actual: Image.Image, expected: Image.Image, mask: Image.Image | None) -> tuple[float, Image.Image]:
    """Return the similarity of two images of one size, unless the mask is dark there, and an image of what differs."""
    one, other = _arrays(actual, expected)
    if mask is not None:
        hidden = np.asarray(mask.convert("L")) < _HALF
        one[hidden] = other[hidden] = _WHITE
    score, places = _similarity(one, other)
    return score, _picture(expected, places)


def _arrays(actual: Image.Image, expected: Image.Image) -> tuple[Any, Any]:
    # Premultiplied by the transparency: the colour of what is invisible says nothing.
    arrays = [np.array(part.convert("RGBa")) for part in (actual, expected)]
    if all((array[:, :, 3] == _WHITE).all() for array in arrays):
        # Where nothing is transparent, a fourth colour that is all the same would only raise the score.
        arrays = [array[:, :, :3].copy() for array in arrays]
    return arrays[0], arrays[1]


def _similarity(one: Any, other: Any) -> tuple[float, Any]:
    side = min(one.shape[:2])
    window = min(_WINDOW, side if side % 2 else side - 1)
    if window < _SMALLEST_WINDOW:  # too small for a structure: the share of bytes that are the same
        same = (one == other).astype(float)
        return float(same.mean()), same.mean(axis=2)
    options = {"win_size": window, "channel_axis": -1, "data_range": _WHITE, "full": True}
    score, full = structural_similarity(one, other, **options)  # type: ignore[no-untyped-call,unused-ignore]
    return float(score), full.mean(axis=2)


def _picture(expected: Image.Image, places: Any) -> Image.Image:
    # The expected image, pale and grey, with red where it is not like that.
    grey = np.asarray(expected.convert("L")).astype(float)
    pale = np.repeat((_WHITE - (_WHITE - grey) / 4)[:, :, None], 3, axis=2)
    wrong = np.clip(1 - places, 0, 1)[:, :, None]
    # Small differences are to be seen, too.
    return Image.fromarray((pale + (np.array(_RED) - pale) * np.sqrt(wrong)).astype(np.uint8))
