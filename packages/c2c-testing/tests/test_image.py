"""Comparison of images. Screenshots by a real Chromium are in ``browser/tests``."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from c2c_testing.image import check_image, check_image_file, check_screenshot, normalize_image


def picture(width=60, height=40):
    """Return an image with some structure, as an array."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([x * 4 % 256, y * 6 % 256, (x + y) * 2 % 256], axis=2).astype(np.uint8)


@pytest.fixture
def expected(tmp_path):
    """Give the file of the expected image."""
    path = tmp_path / "expected/map.expected.png"
    path.parent.mkdir()
    Image.fromarray(picture()).save(path)
    return path


@pytest.fixture
def results(tmp_path):
    """Give the folder for results, which is not there yet."""
    return tmp_path / "results/images"


def spoiled():
    """Return the picture with a grey square in it."""
    image = picture()
    image[10:20, 10:20] = 128
    return image


def names(folder):
    """Return the names of the files."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("convert", [lambda image: image, Image.fromarray, lambda image: image / 255])
def test_the_same_image_is_good(results, expected, convert):
    """Bytes, floats and Pillow images; nothing is written."""
    check_image(results, convert(picture()), expected)
    assert names(results) == []


def test_a_difference_is_shown(results, expected):
    """The error has the score and the files; what differs is red in the .diff.png, the rest is grey."""
    with pytest.raises(AssertionError) as raised:
        check_image(str(results), spoiled(), str(expected))
    actual, diff = results / "map.actual.png", results / "map.diff.png"
    assert re.search(r"map\.actual\.png differs from .*map\.expected\.png: 0\.\d+ < 1\.0; see", str(raised.value))
    assert all(str(path) in str(raised.value) for path in (actual, diff))
    assert (np.asarray(Image.open(actual).convert("RGB")) == spoiled()).all()
    shown = np.asarray(Image.open(diff)).astype(int)
    assert (shown[10:20, 10:20, 0] - shown[10:20, 10:20, 1] > 100).all()
    assert (shown[30:, 30:].max(axis=2) == shown[30:, 30:].min(axis=2)).all()
    check_image(results, picture(), expected)
    assert names(results) == ["map.actual.png"], "the diff of an earlier run is gone"


def test_one_pixel_is_a_difference(results, expected):
    """Level 1 is the same image, in the corner too; a lower level allows for it."""
    image = picture()
    image[0, 0] += 3
    with pytest.raises(AssertionError, match=r"0\.9\d+ < 1\.0"):
        check_image(results, image, expected)
    check_image(results, image, expected, level=0.99)


def test_the_level_is_a_limit(results, expected):
    """The same difference is good for a lower level only."""
    check_image(results, spoiled(), expected, level=0.5)
    with pytest.raises(AssertionError, match=r"< 0\.99;"):
        check_image(results, spoiled(), expected, level=0.99)
    with pytest.raises(ValueError, match=r"level=99: a structural similarity is between -1 and 1"):
        check_image(results, spoiled(), expected, level=99)


def test_a_mask_hides_what_changes(results, expected):
    """Where the mask beside the expected file is dark, nothing is compared; elsewhere everything is."""
    mask = np.full((40, 60), 255, dtype=np.uint8)
    mask[10:20, 10:20] = 0
    Image.fromarray(mask).save(expected.with_name("map.mask.png"))
    check_image(results, spoiled(), expected)
    with pytest.raises(AssertionError, match="differs"):
        check_image(results, spoiled(), expected, use_mask=False)
    other = spoiled()
    other[30, 50] = 0
    with pytest.raises(AssertionError, match="differs"):
        check_image(results, other, expected)
    Image.fromarray(mask[:20]).save(expected.with_name("map.mask.png"))
    with pytest.raises(ValueError, match=r"60 x 20 pixels in the mask .*map\.mask\.png, 60 x 40 in"):
        check_image(results, spoiled(), expected)


def test_a_missing_expected_file_says_what_to_do(results, tmp_path):
    """The actual image is kept, and the message says where it belongs."""
    missing = tmp_path / "none.expected.png"
    with pytest.raises(AssertionError) as raised:
        check_image(results, picture(), missing)
    assert str(raised.value) == (
        f"There is no expected image {missing}: if {results}/none.actual.png is good, copy it there, "
        "or run once with generate_expected_image=True"
    )
    missing.write_bytes((results / "none.actual.png").read_bytes())
    check_image(results, picture(), missing)


def test_generates_the_expected_file(results, tmp_path):
    """In a new folder too; an older one is replaced."""
    path = tmp_path / "new/generated.png"
    check_image(results, spoiled(), path, generate_expected_image=True)
    check_image(results, picture(), path, generate_expected_image=True)
    check_image(results, picture(), path)
    assert not results.exists() or names(results) == []


def test_sizes_have_to_be_the_same(results, expected):
    """The error has both sizes, the image is kept, and what one of them has more is red in the other picture."""
    with pytest.raises(AssertionError, match=r"59 x 44 pixels in .*map\.actual\.png, 60 x 40 in .*map\.expected\.png"):
        check_image(results, picture(width=59, height=44), expected)
    assert names(results) == ["map.actual.png", "map.diff.png"]
    with Image.open(results / "map.diff.png") as diff:
        assert diff.size == (60, 44)
        pixels = [diff.getpixel(place) for place in ((59, 20), (20, 43), (20, 10))]
    assert [red - (green + blue) / 2 > 50 for red, green, blue in pixels] == [True, True, False]


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (3, 3), (6, 20)])
def test_small_images(results, tmp_path, size):
    """Those that are smaller than the window of the comparison."""
    path = tmp_path / "small.png"
    image = picture(*size)
    check_image(results, image, path, generate_expected_image=True)
    check_image(results, image, path)
    image[0, 0] ^= 0xFF
    with pytest.raises(AssertionError, match="differs"):
        check_image(results, image, path)


def test_transparency_counts(results, tmp_path):
    """Red is not transparent red, and the colour of what is invisible says nothing."""
    path = tmp_path / "red.png"
    check_image(results, Image.new("RGBA", (20, 20), (255, 0, 0, 255)), path, generate_expected_image=True)
    with pytest.raises(AssertionError, match="differs"):
        check_image(results, Image.new("RGBA", (20, 20), (255, 0, 0, 128)), path)
    check_image(results, Image.new("RGBA", (20, 20), (255, 0, 0, 0)), path, generate_expected_image=True)
    check_image(results, Image.new("RGBA", (20, 20), (0, 0, 255, 0)), path)


def test_what_is_no_image(results, expected, tmp_path):
    """The error tells the array's shape, or the file."""
    with pytest.raises(ValueError, match=r"No image: an array of int64, shape \(40, 60, 3\)"):
        check_image(results, picture().astype(np.int64), expected)
    text = tmp_path / "text.png"
    text.write_text("no image")
    with pytest.raises(OSError, match=r"cannot identify image file .*text\.png"):
        check_image_file(results, text, expected)
    with pytest.raises(FileNotFoundError, match=r"absent\.png"):
        check_image_file(results, tmp_path / "absent.png", expected)


def test_files(results, expected, tmp_path):
    """Any format that Pillow reads, on both sides."""
    check_image_file(results, expected, expected)
    jpeg = tmp_path / "other.jpg"
    Image.fromarray(picture()).save(jpeg, quality=95)
    check_image_file(results, jpeg, jpeg)
    check_image_file(results, jpeg, expected, level=0.8)
    with pytest.raises(AssertionError, match="differs"):
        check_image_file(results, jpeg, expected)


def test_screenshot_without_chromium(results, tmp_path, monkeypatch):
    """The error says what to install; a program that ends has its last words in it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"No Chromium on PATH .*apt install chromium"):
        check_screenshot("http://127.0.0.1/", results, tmp_path / "page.png")
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\necho no display >&2\n")
    program.chmod(0o755)
    with pytest.raises(RuntimeError, match=r"(?s)Chromium cannot show http://127.0.0.1/: .*no display"):
        check_screenshot("http://127.0.0.1/", results, tmp_path / "page.png")


def test_without_the_extra():
    """The error says what to install."""
    code = "import sys; sys.modules['skimage'] = None; import c2c_testing.image"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'c2c-testing[images]'" in result.stderr.splitlines()[-1]


def test_an_image_as_an_array():
    """Whatever an image is given as, it is bytes of red, green and blue; what is transparent is white."""
    for given in (picture(), Image.fromarray(picture()), picture() / 255, Image.fromarray(picture()).convert("RGBA")):
        found = normalize_image(given)
        assert (found.dtype, found.shape) == (np.uint8, (40, 60, 3))
        assert (found == picture()).all()
    clear = np.zeros((2, 3, 4), dtype=np.uint8)
    assert (normalize_image(clear) == 255).all()
    assert (normalize_image(np.zeros((2, 3), dtype=np.uint8)) == 0).all()
    with pytest.raises(ValueError, match="No image"):
        normalize_image(np.zeros((2, 3, 7), dtype=np.uint8))
