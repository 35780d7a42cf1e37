"""Comparison of images; needs ``c2c-testing[images]``."""

from c2c_testing.image import check_image, check_image_file, check_screenshot

__all__ = ["check_image", "check_image_file", "check_screenshot"]
