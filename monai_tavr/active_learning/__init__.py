"""Which frame teaches the model most: scores of frames, strategies that choose among them, and a replay that measures both."""
