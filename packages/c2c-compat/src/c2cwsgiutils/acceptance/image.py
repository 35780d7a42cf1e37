"""Comparison of images; needs ``c2c-compat[test_images]``."""

from c2c_testing.image import check_image, check_image_file, check_screenshot, normalize_image

__all__ = ["check_image", "check_image_file", "check_screenshot", "normalize_image"]
