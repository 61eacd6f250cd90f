"""The command ``zc-search``, a subcommand a file: they parse, print and exit.

What they need is imported inside the functions, so that ``--help`` answers without torch.
"""


def main() -> None:
    """Run the command."""
    from zc_search.cli.app import main

    main()
