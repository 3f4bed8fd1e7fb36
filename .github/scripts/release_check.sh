#!/usr/bin/env bash
# What a maintainer does before a release: build, check, install the wheel alone on each Python that is there, list the
# licences of what comes along, and write the SBOM. Needs network; some minutes, most of them for torch.
#
#     .github/scripts/release_check.sh
#
# PYTHONS names the interpreters ("python3.11 python3.12 python3.13"); DIST the folder that keeps what was made (dist).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
dist=${DIST:-$root/dist}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1 MPLBACKEND=Agg PIP_DISABLE_PIP_VERSION_CHECK=1
unset PYTHONPATH

# pyenv has a command for every Python that it knows, also for those that it does not start.
usable=() absent=()
for python in ${PYTHONS:-python3.11 python3.12 python3.13}; do
    found=
    for candidate in "$python" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"${python#python}"*/bin/python; do
        "$candidate" -c 'import ensurepip, venv' 2>/dev/null && found=$candidate && break
    done
    if test -n "$found"; then usable+=("$found"); else absent+=("$python"); fi
done
if test ${#usable[@]} -eq 0; then
    echo "None of ${absent[*]} is there; name interpreters in PYTHONS." >&2
    exit 1
fi

echo "## Build"
"${usable[0]}" -m venv "$work/tools"
tools=$work/tools/bin
"$tools/python" -m pip install --quiet build twine 'readme-renderer[md]' pip-licenses cyclonedx-bom pyyaml jinja2 packaging
version=$("$tools/python" "$root/.github/scripts/release_facts.py")
rm -rf "$dist"/repatient-*
"$tools/python" -m build --quiet --outdir "$dist" "$root"
"$tools/python" -m twine check --strict "$dist"/repatient-*
test -f "$dist/repatient-$version.tar.gz" || { echo "dist has no repatient-$version.tar.gz" >&2; exit 1; }

echo "## README"
"$tools/python" -m readme_renderer "$root/README.md" --output "$work/readme.html"
test -s "$work/readme.html"

for number in "${!usable[@]}"; do
    echo "## The wheel alone, $("${usable[number]}" --version)"
    alone=$work/alone$number/bin
    "${usable[number]}" -m venv "$work/alone$number"
    pip=("$alone/python" -m pip install --quiet --constraint "$root/constraints.txt")
    "${pip[@]}" --upgrade pip
    "${pip[@]}" torch
    "${pip[@]}" "$dist"/repatient-"$version"-*.whl
    (
        cd "$work"
        "$alone/python" "$root/.github/scripts/import_rooms.py"
        "$alone/repatient" --help >/dev/null
        "$alone/python" -c "import repatient as rp; assert rp.__version__ == '$version', rp.__version__"
    )
done
test ${#absent[@]} -eq 0 || echo "Not found, so not tried: ${absent[*]}"

echo "## Licences and SBOM"
installed=$work/alone0/bin/python
"$tools/pip-licenses" --python "$installed" --format markdown --with-urls --order license \
    --output-file "$dist/licences.md"
"$tools/cyclonedx-py" environment "$installed" --pyproject "$root/pyproject.toml" --mc-type library \
    --output-format JSON --output-file "$dist/repatient-$version.cdx.json"
"$tools/python" "$root/.github/scripts/release_facts.py" "$dist"

echo "## Conda recipe"
if command -v conda-build >/dev/null; then
    REPATIENT_SDIST="$dist/repatient-$version.tar.gz" conda-build --no-anaconda-upload "$root/recipe"
else
    echo "No conda-build here: the recipe was rendered and compared with pyproject.toml, not built."
fi
