#!/usr/bin/env bash
# Run the tests with the oldest versions that pyproject.toml declares, in a fresh environment. Needs network. On Linux,
# torch comes with CUDA, some gigabytes; UV_TORCH_BACKEND=cpu takes its build for the CPU.
#
#     .github/scripts/test_floors.sh [ARGUMENT of pytest …]
#
# PYTHON names the interpreter (python3.11).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python=${PYTHON:-python3.11}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1 MPLBACKEND=Agg PIP_DISABLE_PIP_VERSION_CHECK=1
unset PYTHONPATH

"$python" -m venv "$work/tools"
"$work/tools/bin/python" -m pip install --quiet uv
"$work/tools/bin/uv" pip compile --quiet --python "$python" --resolution lowest-direct \
    --extra dask --extra ot --extra scvi pyproject.toml --output-file "$work/floors.txt"

# Only what the package itself needs is held at its floor; the tools that test it are as new as goes with that.
"$python" -m venv "$work/venv"
"$work/tools/bin/uv" pip install --quiet --python "$work/venv/bin/python" --constraint "$work/floors.txt" \
    --editable . --group test
"$work/venv/bin/python" -m pytest -q "$@"
