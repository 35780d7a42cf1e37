"""Images as arrays, and their structural similarity."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage.metrics import structural_similarity  # type: ignore[import-not-found,import-untyped,unused-ignore]

_WINDOW = 7  # pixels: the side of the square in which skimage compares
_SMALLEST_WINDOW = 3
_HALF = 128
_WHITE = 255
_RED = (255, 0, 0)


def load(path: Path) -> Image.Image:
    """Return the image in a file; FileNotFoundError and ValueError name it."""
    with path.open("rb") as file:
        return _decoded(file, str(path))


def decode(data: bytes) -> Image.Image:
    """Return the image in the bytes of a file."""
    return _decoded(io.BytesIO(data), "the data")


def _decoded(file: Any, name: str) -> Image.Image:
    try:
        with Image.open(file) as opened:
            opened.load()
            return opened.convert("RGBA")
    except OSError as error:  # UnidentifiedImageError is one too
        raise ValueError(f"No image in {name}: {error}") from error


def image(given: Any) -> Image.Image:
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


def over_white(given: Any) -> Any:
    """Return a Pillow image or an array as an array of bytes, red, green and blue; what is transparent is white."""
    found = image(given)
    return np.asarray(Image.alpha_composite(Image.new("RGBA", found.size, "white"), found).convert("RGB"))


def size(image: Image.Image) -> str:
    """Return the size as people write it."""
    return f"{image.width} x {image.height}"


def of_one_size(one: Image.Image, other: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Return two images with what each lacks of the greater width and height, transparent."""
    box = (0, 0, max(one.width, other.width), max(one.height, other.height))
    # To crop beyond the edge adds what is transparent there.
    return one.crop(box), other.crop(box)


def compare(actual: Image.Image, expected: Image.Image, mask: Image.Image | None) -> tuple[float, Image.Image]:
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
