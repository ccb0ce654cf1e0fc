#!/usr/bin/env bash
# The tour: measure the built-in model, make it smaller, measure again, let both tell a tale, serve the small one.
set -euo pipefail
program="$1"
cd "$(dirname "$0")/.."
recipe=Recipes/wanda-2of4-int8.yaml
rm -rf demo && mkdir demo
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "1. The built-in model: a language model of 3 million parameters, trained on children's books"
"$program" evaluate tales --json | tee demo/evaluate-before.json
"$program" bench tales --json | tee demo/bench-before.json

say "2. Make it smaller: $recipe"
cat "$recipe"
"$program" compress tales --recipe "$recipe" --output demo/small --json | tee demo/compress.json

say "3. The small model, run from its compressed weights"
"$program" evaluate demo/small --json | tee demo/evaluate-after.json
"$program" bench demo/small --json | tee demo/bench-after.json
"$program" inspect tales --json > demo/inspect-before.json
"$program" inspect demo/small --json > demo/inspect-after.json

say "4. A tale from each"
prompt="Once upon a time there was a little girl who"
"$program" generate tales --prompt "$prompt" --max-tokens 160 --seed 7 --json > demo/story-before.json
"$program" generate demo/small --prompt "$prompt" --max-tokens 160 --seed 7 --json > demo/story-after.json
echo "--- the original"; "$program" generate tales --prompt "$prompt" --max-tokens 160 --seed 7
echo "--- the small one"; "$program" generate demo/small --prompt "$prompt" --max-tokens 160 --seed 7

say "5. Serve it, and ask over HTTP"
"$program" serve demo/small --model-name tales-small --port 0 --json > demo/server.json &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
for _ in $(seq 100); do [ -s demo/server.json ] && break; sleep 0.1; done
port=$(sed -n 's/.*"port":\([0-9]*\).*/\1/p' demo/server.json)
question='{"model":"tales-small","prompt":"The old king said to his youngest son,","max_tokens":60,"temperature":0.7,"seed":3}'
echo "POST http://127.0.0.1:$port/v1/completions  $question"
printf '%s' "$question" > demo/question.json
curl -sS --fail "http://127.0.0.1:$port/v1/completions" -H 'Content-Type: application/json' -d "$question" | tee demo/answer.json
echo
kill -TERM $server && wait $server
trap - EXIT

say "6. The report"
"$program" report demo --output demo/report.html
