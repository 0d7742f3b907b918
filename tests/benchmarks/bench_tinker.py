"""Share of wall time in which the service waits for us: no request of ours is in flight.

python tests/benchmarks/bench_tinker.py          ten steps of a tiny model on the compact server
python tests/benchmarks/bench_tinker.py RUN      a run that was made, such as make tinker-demo's
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from pathlib import Path

from paraphrase_rl.files import read_jsonl

ALLOWED = 0.10


def run_in(folder: Path) -> Path:
    """Ten steps with a reward that costs nothing."""
    os.environ["TINKER_API_KEY"] = "tml-local"
    from tests.servers.engine import Engine
    from tests.servers.tinker_server import Server, Service
    from tests.tinker.runs import backend, short
    from tests.tiny_model import save_tiny_model
    from tests.training.runs import training_run

    model = save_tiny_model(folder / "models" / "tiny-qwen3", qwen=True, tied=False)
    server = Server(Service(Engine(str(model), folder / "state")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    run = training_run(folder / "run", short(model, training={"max_steps": 10, "epochs": 9}))
    backend(server).train(run)
    run.directory.close()
    return folder / "run"


def main() -> int:
    """Print the share; 1 when it is too large."""
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(sys.argv[1]) if len(sys.argv) > 1 else run_in(Path(scratch))
        rows = [row["metrics"] for row in read_jsonl(run / "metrics.jsonl")]
    waits, total = (sum(row[f"seconds_{part}"] for row in rows) for part in ("service_waits", "total"))
    print(
        f"service waits for us: {waits / total:.1%} of {total:.1f} s in {len(rows)} steps"
        f" (at most {ALLOWED:.0%}); rewards {sum(row['seconds_reward'] for row in rows) / total:.1%}"
    )
    return int(waits / total > ALLOWED)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    sys.exit(main())
