"""The subcommands of ``zc-search``, one file each: they parse, print and exit.

What they need is imported inside the functions, so that ``--help`` answers without torch.
"""
