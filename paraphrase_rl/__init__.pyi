# What __init__.py resolves on first use, for type checkers and editors; tests/api/test_public_names.py compares.
import pluggy

from paraphrase_rl.errors import PrlError as PrlError
from paraphrase_rl.plugin.specs import BackendSpec as BackendSpec
from paraphrase_rl.plugin.specs import CommandSpec as CommandSpec
from paraphrase_rl.plugin.specs import Context as Context
from paraphrase_rl.plugin.specs import DatasetSpec as DatasetSpec
from paraphrase_rl.plugin.specs import DetectorSpec as DetectorSpec
from paraphrase_rl.plugin.specs import MetricSpec as MetricSpec
from paraphrase_rl.plugin.specs import RewardSpec as RewardSpec
from paraphrase_rl.plugin.specs import RewriterSpec as RewriterSpec
from paraphrase_rl.progress import Progress as Progress
from paraphrase_rl.tables import Table as Table
from paraphrase_rl.types import Document as Document
from paraphrase_rl.types import Failure as Failure
from paraphrase_rl.types import Measurements as Measurements
from paraphrase_rl.types import RewardBatch as RewardBatch
from paraphrase_rl.types import Rewrite as Rewrite
from paraphrase_rl.types import Rollout as Rollout
from paraphrase_rl.types import Scores as Scores
from paraphrase_rl.types import StepRecord as StepRecord
from paraphrase_rl.types import Terms as Terms

__version__: str
hookimpl: pluggy.HookimplMarker
