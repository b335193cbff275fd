#!/bin/sh
# From the zip of small pictures to a taught network, on one GPU (or, for trying it out, on a processor).
#
#   sh examples/gpu/teach.sh SMALL.zip WORK [OPTIONS OF TRAIN …]
#
# What is done is not done again, and a training that was stopped (Ctrl-C, a limit of time) is gone on with: call it until
# it ends with "taught". A third of a minute before a limit of ten minutes: timeout -s INT 580 sh examples/gpu/teach.sh …
set -eu
zip=$1 work=$2
shift 2
here=$(dirname "$0")
vestiary() { ${PYTHON:-python3} -m vestiary "$@"; }

train() { # NAME OPTIONS …: as far as it gets
    name=$1
    shift
    [ -f "$work/$name/manifest.json" ] && return
    if [ -f "$work/$name.training/checkpoint.pt" ]; then set -- "$@" --resume; fi
    vestiary train "$work/halves" --recipe "$here/$name.toml" --out "$work/$name" --licence MIT "$@"
}

if [ ! -f "$work/halves/catalogue.json" ]; then
    vestiary ingest "$zip" --out "$work/small" --overwrite
    ${PYTHON:-python3} "$here/../default_catalogue.py" "$zip" --out "$work/source"
    vestiary ingest "$work/source/products.csv" --images "$work/source/pictures" --taxonomy "$work/small" \
        --split-column split --out "$work/halves" --overwrite
fi
train teacher "$@"
train student --teacher "$work/teacher" "$@"
echo "taught: $work/student"
