"""Networks in int8: calibrated on training images, judged on others, or not written."""
