"""Run benchmarks, and write the page of each in the documentation from what it prints.

python benchmarks/pages.py NAME … [-- ARGUMENT …]

A page is replaced only if its benchmark ran to its end. It opens with what the benchmark says of itself.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGES = HERE.parent / "docs" / "benchmarks"
SPEED = (
    "mixture_speed",
    "mixture_out_of_core",
    "draws",
    "mil_speed",
    "mil_loss",
    "evaluate_speed",
    "gpu_speed",
    "waits",
    "growth",
)
EVIDENCE = (
    "another_cohort",
    "generated_help",
    "missing_class_page",
    "low_data",
    "missing_class",
    "transfer",
    "realism",
    "leakage",
    "ablation",
    "views_digits",
    "views_cite",
    "views_map",
    "views_omics",
    "views_tissue",
    "familiarity",
)
SCALE = ("atlas", "from_files")
# What needs a GPU, torchmil or another checkout, or takes an hour.
ON_ITS_OWN = ("gpu_speed", "mil_loss", "waits", "growth")
# What the group "bench" of pyproject.toml brings.
NEEDS_IMAGES = ("views_tissue",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    available = (*SPEED, *EVIDENCE, *SCALE)
    known = ", ".join(available)
    parser.add_argument(
        "names", nargs="+", metavar="NAME", help=f"some of {known}; or speed, or evidence, for all of one kind"
    )
    given, arguments = split(sys.argv[1:])
    kinds = {
        "speed": [name for name in SPEED if name not in ON_ITS_OWN],
        "evidence": [name for name in EVIDENCE if name not in NEEDS_IMAGES],
    }
    names = [name for word in parser.parse_args(given).names for name in kinds.get(word, (word,))]
    unknown = [name for name in names if name not in available]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {known}")
    for name in names:
        measure(name, arguments)


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """What is meant for this program, and what comes after ``--`` for the benchmark."""
    end = words.index("--") if "--" in words else len(words)
    return words[:end], words[end + 1 :]


def measure(name: str, arguments: list[str]) -> None:
    """Run one benchmark on one thread, showing what it prints, and write its page."""
    script = HERE / f"{name}.py"
    command = [sys.executable, "-W", "ignore", str(script), *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    lines: list[str] = []
    print(f"\n## {name}\n", flush=True)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        sys.exit(process.returncode)
    page = PAGES / f"{name}.md"
    temporary = page.with_suffix(".tmp")
    temporary.write_text(heading(script, name, arguments) + "".join(lines).strip() + "\n", encoding="utf-8")
    temporary.replace(page)


def heading(script: Path, name: str, arguments: list[str]) -> str:
    """Title, command and explanation of a page, from the benchmark's own documentation."""
    title, *paragraphs = (ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or name).split("\n\n")
    explanation = "\n\n".join(
        part for part in paragraphs if not part.startswith(("python ", "pip ", "OMP_NUM_THREADS"))
    )
    wanted = f' ARGS="{" ".join(arguments)}"' if arguments else ""
    target = "bench" if name in SPEED else "evidence"
    return f"# {title.rstrip('.')}\n\n```\nmake {target} NAME={name}{wanted}\n```\n\n{explanation}\n\n"


if __name__ == "__main__":
    main()
