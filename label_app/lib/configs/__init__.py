"""One file per task of the app."""
