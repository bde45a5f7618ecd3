"""Keypoints drawn onto frames."""
