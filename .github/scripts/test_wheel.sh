#!/usr/bin/env bash
# Build the source distribution and from it the wheel, check both, install the wheel alone in a fresh environment, and
# run there the tests of the source distribution, out of reach of the sources. Needs network; takes a few minutes.
#
#     .github/scripts/test_wheel.sh [ARGUMENT of pytest …]
#
# PYTHON names the interpreter (python3); DIST the folder that keeps what was built (a temporary one).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dist=${DIST:-$work/dist}
export OMP_NUM_THREADS=1 MPLBACKEND=Agg PIP_DISABLE_PIP_VERSION_CHECK=1
unset PYTHONPATH

"$python" -m venv "$work/tools"
"$work/tools/bin/python" -m pip install --quiet build twine
"$work/tools/bin/python" -m build --outdir "$dist" "$root"
"$work/tools/bin/python" -m twine check --strict "$dist"/repatient-*

"$python" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip install --quiet --constraint "$root/constraints.txt")
"${pip[@]}" --upgrade pip
"${pip[@]}" torch
"${pip[@]}" "$dist"/repatient-*.whl
cd "$work"
# Without the extras and what only tests need, every room must still be there.
venv/bin/python "$root/.github/scripts/import_rooms.py"

"${pip[@]}" --group "$root/pyproject.toml:test"
mkdir tests_alone
tar -xzf "$dist"/repatient-*.tar.gz --strip-components=1 -C tests_alone
rm -r tests_alone/src
cd tests_alone
"$work/venv/bin/python" -m pytest -q "$@"
