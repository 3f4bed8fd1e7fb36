"""The time of `import repatient`, against `import anndata`.

python benchmarks/import_time.py [--rounds 9]

Every round starts a fresh interpreter for each import, one after another, and the table gives the seconds that the
import took inside it and their ratio to `import anndata` of the same round: medians and ranges. The first round, which
reads the files from the disk, is not counted. `rp.tl` is loaded when it is first named; its row says what that costs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

import numpy as np

IMPORTS = {
    "`import anndata`": "import anndata",
    "`import repatient as rp`": "import repatient as rp",
    "`import repatient as rp; rp.tl`": "import repatient as rp; rp.tl",
}
CLOCK = "from time import perf_counter; start = perf_counter(); {code}; print(perf_counter() - start)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print(f"{rounds} rounds, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f}.\n")
    measured = [[seconds(code) for code in IMPORTS.values()] for _ in range(rounds + 1)]
    times = np.array(measured[1:])
    ratios = times / times[:, :1]
    print("| import | seconds | ratio to anndata | range |\n| --- | ---: | ---: | ---: |")
    for name, own, ratio in zip(IMPORTS, times.T, ratios.T, strict=True):
        print(f"| {name} | {np.median(own):.2f} | {np.median(ratio):.2f} | {ratio.min():.2f} to {ratio.max():.2f} |")


def seconds(code: str) -> float:
    """Seconds that the code takes in a fresh interpreter."""
    command = [sys.executable, "-c", CLOCK.format(code=code)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
