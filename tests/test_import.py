from __future__ import annotations

import subprocess
import sys

import pytest

import repatient as rp

HEAVY = ("torch", "scanpy", "scvi", "matplotlib")
NEEDED_BY_ROOMS = ("anndata", "dask", "mudata", "pandas", "scipy", "sklearn", "zarr")


def loaded_after(code: str, names: tuple[str, ...] = HEAVY) -> set[str]:
    script = f"import sys; {code}; print(*[name for name in {names!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_import_is_light():
    """Nothing that costs time; benchmarks/import_time.py measures it beside `import anndata`."""
    assert loaded_after("import repatient", HEAVY + NEEDED_BY_ROOMS) == set()


def test_rooms_are_loaded_when_needed_and_torch_only_by_what_trains():
    rooms = "import repatient as rp; rp.tl.gmm, rp.get.augmented, rp.io.read_recipes"
    then = f"assert not {{*{HEAVY!r}}} & {{*sys.modules}}; rp.mil.MILClassifier"
    assert "torch" in loaded_after(f"{rooms}; {then}")


def test_public_names():
    assert set(rp.__all__) <= set(dir(rp))
    for name in rp.__all__:
        assert getattr(rp, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rp.nothing
