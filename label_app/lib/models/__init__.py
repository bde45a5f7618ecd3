"""The models that a server has: the shipped one, those trained here, and which one answers."""
