"""Screenshots by a real Chromium."""

import pytest
from PIL import Image

from c2c_testing.image import check_screenshot

PAGE = """<!doctype html><style>
body { margin: 0; background: rgb(0, 128, 0) }
@media (prefers-color-scheme: dark) { body { background: rgb(0, 0, 64) } }
</style><img src="/picture">"""


@pytest.fixture
def results(tmp_path):
    """Give the folder for results, which is not there yet."""
    return tmp_path / "results/images"


def test_screenshot(results, tmp_path, http_sink):
    """The page in the window's size, with the headers in all its requests and the features of CSS."""
    http_sink.answer("/page", body=PAGE, headers={"Content-Type": "text/html"})
    url, path = f"{http_sink.url}/page", tmp_path / "page.expected.png"
    light = Image.new("RGB", (120, 80), (0, 128, 0))
    light.save(path)
    check_screenshot(url, results, path, width=120, height=80, headers={"X-Word": "hello"}, level=0.8)
    assert [request.headers.get("x-word") for request in http_sink.requests[:2]] == ["hello"] * 2
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    with pytest.raises(AssertionError, match="differs"):
        check_screenshot(url, results, path, width=120, height=80, media=dark, level=0.8)
    shown = Image.open(results / "page.actual.png").convert("RGB")
    assert (shown.size, shown.getpixel((100, 70))) == ((120, 80), (0, 0, 64))


def test_screenshot_of_no_page(results, tmp_path, http_sink):
    """The error has the URL and Chromium's reason."""
    with http_sink.down(), pytest.raises(RuntimeError, match=rf"cannot show {http_sink.url}.*CONNECTION_REFUSED"):
        check_screenshot(http_sink.url, results, tmp_path / "page.png")
