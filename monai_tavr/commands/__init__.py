"""One module per sub-command of ``monai-tavr``: ``add_arguments(parser)`` and ``run(args) -> exit code``.

Modules import what is heavy inside ``run``, so that help comes at once.
"""
