#!/usr/bin/env bash
# A wrong reason is planted, learned, found, proven, repaired, and kept out.
#
#   examples/wrong-reason.sh DATA [OUT]        or: make story DATA=... OUT=...
#
# DATA holds train.parquet and test.parquet of CIFAR-10 as Hugging Face keeps it. Everything is
# written to OUT; what is there already is kept, so that the same command goes on where it was.
set -euo pipefail
data=${1:?where train.parquet and test.parquet of CIFAR-10 lie}
out=${2:-wrong-reason}
root=$(cd "$(dirname "$0")/.." && pwd)
export PATH=$root/.venv/bin:$PATH PYTHONPATH=$root

step() { printf '\n$ %s\n' "$*"; "$@"; }

# Half of the automobiles get a magenta patch in a corner. Nothing after this line is told so.
[ -f "$out/data/truth.parquet" ] || step python -m benchmarks.planting corner --data "$data" --out "$out/data"

step seewhy train resnet20 --data "$out/data" --epochs 5 --out "$out/net"
step seewhy audit "$out/data/train.parquet" --model "$out/net" --out "$out/seen"
step seewhy audit "$out/data/test.parquet" --model "$out/net" --out "$out/unseen"

step seewhy find "$out/seen"

cat > "$out/rules.toml" <<'RULES'
[findings]
confirmed = 0

[accuracy]
minimum = 0.7
RULES
if step seewhy check "$out/seen" --rules "$out/rules.toml"; then
    echo "the network passed: the patch was not learned" >&2
    exit 1
fi

step seewhy repair "$out/seen" --finding 1 --held-out "$out/unseen" --out "$out/mended"

step seewhy audit "$out/data/train.parquet" --model "$out/mended" --out "$out/again"
step seewhy find "$out/again"
step seewhy check "$out/again" --rules "$out/rules.toml"
