"""Inverted residuals: the networks of MobileNetV2's kind."""
