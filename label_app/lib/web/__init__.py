"""Every route of the server, the guard in front of them, and MONAI Label's application behind."""
