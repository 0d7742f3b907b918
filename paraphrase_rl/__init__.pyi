# What __init__.py resolves on first use, for type checkers and editors; tests/api/test_public_names.py compares.

from paraphrase_rl.acceptance.verdict import Verdict as Verdict
from paraphrase_rl.api.calibrating import calibrate as calibrate
from paraphrase_rl.api.calibrating import fit as fit
from paraphrase_rl.api.calibrating import load_calibration as load_calibration
from paraphrase_rl.api.comparing import compare as compare
from paraphrase_rl.api.components import load_registry as load_registry
from paraphrase_rl.api.data import load_data as load_data
from paraphrase_rl.api.data import load_recipe as load_recipe
from paraphrase_rl.api.evaluating import evaluate as evaluate
from paraphrase_rl.api.evaluating import validate as validate
from paraphrase_rl.api.explaining import ExplainResult as ExplainResult
from paraphrase_rl.api.explaining import explain as explain
from paraphrase_rl.api.hardening import harden as harden
from paraphrase_rl.api.monitoring import monitor as monitor
from paraphrase_rl.api.reporting import export as export
from paraphrase_rl.api.reporting import report as report
from paraphrase_rl.api.rewriting import rewrite as rewrite
from paraphrase_rl.api.scoring import score as score
from paraphrase_rl.api.text_results import CalibrationResult as CalibrationResult
from paraphrase_rl.api.text_results import FitResult as FitResult
from paraphrase_rl.api.text_results import RewriteResult as RewriteResult
from paraphrase_rl.api.text_results import ScoreResult as ScoreResult
from paraphrase_rl.api.training import check as check
from paraphrase_rl.api.training import train as train
from paraphrase_rl.comparison.records import Comparison as Comparison
from paraphrase_rl.data.documents import Corpus as Corpus
from paraphrase_rl.errors import PrlError as PrlError
from paraphrase_rl.evaluation.results import Results as Results
from paraphrase_rl.hardening.records import Hardening as Hardening
from paraphrase_rl.plugin.given import detector as detector
from paraphrase_rl.preflight.findings import Finding as Finding
from paraphrase_rl.preflight.findings import Findings as Findings
from paraphrase_rl.progress import Progress as Progress
from paraphrase_rl.runs.run import Run as Run
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
