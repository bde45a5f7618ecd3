"""Inference tasks of the app."""
