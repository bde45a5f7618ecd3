"""Training of the active model on submitted labels, in a process of its own."""
