"""MONAI Label's scoring methods."""
