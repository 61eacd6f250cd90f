"""``python -m zc_search`` is the command ``zc-search``."""

from zc_search.cli.app import main

main()
