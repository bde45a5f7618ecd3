"""Which frame an annotator should label next: scores of frames in the background, strategies over them, reservations."""
