"""What `serve` and `token` do: commands that the package registers for ``monai-tavr`` (entry points in pyproject.toml)."""
