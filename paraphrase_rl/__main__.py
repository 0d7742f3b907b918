"""``python -m paraphrase_rl`` is ``prl``."""

from paraphrase_rl.cli.main import main

main()
