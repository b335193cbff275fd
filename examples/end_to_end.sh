#!/usr/bin/env bash
# The whole journey on small drawn photos, in about half a minute: draw a shop, ingest it, check it, report on it,
# train, evaluate, report on the model, calibrate for another precision, inspect, tag. Needs the extras 'train' and 'ui'
# (make test brings them).
# Usage: examples/end_to_end.sh [WORK_DIR]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${1:-$(mktemp -d)}
python=$here/../.venv/bin/python
[ -x "$python" ] || python=python3
python=${PYTHON:-$python}
vestiary() { "$python" -m vestiary "$@"; }

"$python" "$here/draw_photos.py" catalogue "$work/shop.zip" --products 480 --seed 7
vestiary ingest "$work/shop.zip" --out "$work/catalogue"
vestiary check "$work/catalogue" || [ $? -eq 1 ] # 1: it has findings at error level, as a drawn shop may
vestiary report catalogue "$work/catalogue" --out "$work/catalogue.html" --classes 4
vestiary train "$work/catalogue" --out "$work/bundle" --threads 1 --licence MIT \
  --set width=30 --set height=40 --set 'phases=[{epochs=8, height=40, width=30}]' \
  --set stem=8 --set 'stages=[[16, 1], [32, 1], [64, 1]]' --set batch_size=32 --set learning_rate=1e-2 \
  --set precision=fp32 --set erase=0 --set dropout=0
vestiary evaluate "$work/catalogue" --bundle "$work/bundle"
vestiary report model "$work/bundle" "$work/catalogue" --out "$work/model.html"
vestiary calibrate "$work/bundle" "$work/catalogue" --out "$work/calibrated" --target-precision 0.8
vestiary inspect "$work/bundle"
vestiary tag "$here/photos" --bundle "$work/bundle"
