#!/bin/sh
# Train a network and replace its weights and card in models/weights.
#
#     ./release.sh NETWORK [train.py options, e.g. --minutes 75 --threads 1]
#
# A run that was interrupted goes on from its last checkpoint. A lock per network keeps a second
# run from starting.
set -eu
network=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
cache=${KONV_TRAINING_CACHE:-/var/tmp/konv-training}
weights=$here/../weights/$network.safetensors
mkdir -p "$cache"
exec 9>"$cache/$network.lock"
flock -n 9 || { echo "$network: already in training" >&2; exit 1; }

cd "$here"
python3 train.py "configs/$network.json" --resume "$@"
python3 export_weights.py "$cache/$network.pt" -o "$weights"
python3 evaluate.py --network "$network" --weights "$weights" --json "$cache/$network.json"
python3 write_card.py --checkpoint "$cache/$network.pt" --evaluation "$cache/$network.json" \
    --command "./release.sh $network${*:+ $*}" -o "${weights%.safetensors}.md"
