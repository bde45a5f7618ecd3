"""Where the app's images come from."""
