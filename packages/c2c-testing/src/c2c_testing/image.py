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
    differs is red, also what one of two images of different sizes has more. What is transparent is white.

    Args:
        result_folder: made if it is missing
        image: a Pillow image, or a numpy array of shape (height, width), (height, width, 3) or (height, width, 4),
            of bytes (0 to 255), of floats (0 to 1) or of booleans
        expected_filename: in a format that Pillow reads
        level: the least structural similarity (mean over pixels and colours), 1 for the same image and down to -1
        generate_expected_image: write the expected file and check nothing
        use_mask: whether to look for a mask

    Raises:
        AssertionError: the images differ, or there is no expected one; the message has the files and what to do
        ValueError: the image, the mask or the level cannot be
        OSError: Pillow cannot read a file
    """
    if not -1 <= level <= 1:
        raise ValueError(f"level={level}: a structural similarity is between -1 and 1")
    actual = normalize_image(image)
    expected_file = Path(expected_filename)
    if generate_expected_image:
        expected_file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(actual).save(expected_file)
        return
    name = expected_file.stem.removesuffix(".expected")
    results = Path(result_folder)
    results.mkdir(parents=True, exist_ok=True)
    actual_file, diff_file = results / f"{name}.actual.png", results / f"{name}.diff.png"
    diff_file.unlink(missing_ok=True)  # of an earlier run
    if not expected_file.exists():
        Image.fromarray(actual).save(actual_file)
        raise AssertionError(
            f"There is no expected image {expected_file}: if {actual_file} is good, copy it there, "
            "or run once with generate_expected_image=True"
        )
    expected = normalize_image(_load(expected_file))
    problem = ""
    if actual.shape != expected.shape:
        problem = f"{_size(actual)} pixels in {actual_file}, {_size(expected)} in {expected_file}"
    mask_file = expected_file.with_name(f"{name}.mask.png")
    hidden = None
    if use_mask and mask_file.exists() and not problem:
        hidden = np.asarray(_load(mask_file).convert("L")) < _HALF
        if hidden.shape != expected.shape[:2]:
            raise ValueError(f"{_size(hidden)} pixels in the mask {mask_file}, {_size(expected)} in {expected_file}")
    score, diff = _compare(actual, expected, hidden)
    if score < level and not problem:
        problem = f"{actual_file} differs from {expected_file}: {score} < {level}"
    if problem:
        Image.fromarray(actual).save(actual_file)
        diff.save(diff_file)
        raise AssertionError(f"{problem}; see {diff_file}")


def normalize_image(image: Any) -> Any:
    """Return an image, as ``check_image`` takes it, as a numpy array of bytes, shape (height, width, 3), over white."""
    if not isinstance(image, Image.Image):
        array = np.asarray(image)
        if array.dtype == bool or np.issubdtype(array.dtype, np.floating):
            array = np.clip(np.rint(array * float(_WHITE)), 0, _WHITE).astype(np.uint8)
        array = array[:, :, 0] if array.shape[2:] == (1,) else array
        if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)):
            raise ValueError(f"No image: an array of {array.dtype}, shape {array.shape}")
        image = Image.fromarray(array)
    image = image.convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB"))


def check_image_file(
    result_folder: Name, image_filename: Name, expected_filename: Name, level: float = 1.0, **options: Any
) -> None:
    """Check that the image in a file looks like the expected one: see ``check_image``, for the options as well."""
    check_image(result_folder, _load(Path(image_filename)), expected_filename, level, **options)


def check_screenshot(
    url: str,
    result_folder: Name,
    expected_filename: Name,
    width: int = 800,
    height: int = 600,
    sleep: int = 100,
    headers: Mapping[str, str] | None = None,
    media: Sequence[Mapping[str, str]] | None = None,
    level: float = 1.0,
    **options: Any,
) -> None:
    """Check that a page, as a headless Chromium shows it, looks like the expected image: see ``check_image``.

    Needs the extra ``c2c-testing[screenshots]`` and a Chromium on ``PATH``; RuntimeError says why it cannot show the
    page. The window is ``width`` by ``height`` pixels; ``sleep`` are milliseconds between the page's load event and the
    screenshot, ``headers`` are sent with each request, ``media`` are features of CSS, such as
    ``[{"name": "prefers-color-scheme", "value": "dark"}]``; all else is for ``check_image``.
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
    check_image(result_folder, Image.open(io.BytesIO(png)), expected_filename, level, **options)


def _load(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        return opened.convert("RGBA")


def _size(array: Any) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"


def _compare(actual: Any, expected: Any, hidden: Any) -> tuple[float, Image.Image]:
    """Return the similarity of two images, unless hidden, and an image of what differs."""
    height, width = (max(sizes) for sizes in zip(actual.shape[:2], expected.shape[:2], strict=True))
    one, other = np.zeros((2, height, width, 3), dtype=np.uint8)
    one[: actual.shape[0], : actual.shape[1]] = actual
    other[: expected.shape[0], : expected.shape[1]] = expected
    if hidden is not None:
        one[hidden] = other[hidden] = _WHITE
    # What is smaller than the window goes on as its edge.
    more = ((0, max(0, _WINDOW - height)), (0, max(0, _WINDOW - width)), (0, 0))
    padded = [np.pad(array, more, mode="edge") for array in (one, other)]
    options = {"win_size": _WINDOW, "channel_axis": -1, "data_range": _WHITE, "full": True}
    score, full = structural_similarity(*padded, **options)  # type: ignore[no-untyped-call,unused-ignore]
    full = full[:height, :width].mean(axis=2)
    for array in (actual, expected):
        full[array.shape[0] :] = full[:, array.shape[1] :] = 0  # one of them has nothing there
    # The expected image, pale and grey, with red where it is not like that; small differences are to be seen, too.
    pale = (_WHITE - (_WHITE - other.mean(axis=2)) / 4)[:, :, None]
    wrong = np.sqrt(np.clip(1 - full, 0, 1))[:, :, None]
    return float(score), Image.fromarray((pale + (np.array(_RED) - pale) * wrong).astype(np.uint8))
