import os
from pathlib import Path

Path(os.environ["ACME_MARK"]).touch()
