#!/usr/bin/env bash
# Speed on this machine, each ratio within one run: formats against dense bf16, compressed models against the dense
# one, training against PyTorch (where python3 has it).
set -euo pipefail
program="$1"
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo "## The built-in model, dense and compressed"
"$program" bench tales
for recipe in int8 int4-group32 wanda-2of4-int8; do
    "$program" compress tales --recipe "Recipes/$recipe.yaml" --output "$folder/$recipe" --skip-evaluation >/dev/null 2>&1
    printf '%s: ' "$recipe"
    "$program" bench "$folder/$recipe"
done
echo "## Formats against dense bf16"
COPPICE_BENCH_FORMATS=4096x4096,512x192 swift test -c release --filter printsATable > "$folder/formats" 2>&1 \
    || { cat "$folder/formats" >&2; exit 1; }
grep '|' "$folder/formats"
echo "## Training"
"$program" bench --train
if python3 -c 'import torch, transformers' 2>/dev/null; then
    python3 Tools/peers/training_speed.py --coppice "$program bench --train --json"
else
    echo "python3 has no torch and transformers: no comparison with PyTorch"
fi
