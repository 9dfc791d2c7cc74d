"""Build the documentation in both languages, offline, with warnings as errors.

`python docs/build.py` leaves `docs/_build/en/index.html` and `docs/_build/zh/index.html`. The pages
under "Know" are written first, from the package itself (see `generators`); the notebooks under
"Learn" are executed by the English build, and the Chinese one takes their outputs.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

DOCS = Path(__file__).parent
LANGUAGES = {"en": "en", "zh": "zh_CN"}
# Unexecuted cells have no language.
QUICK = ("-D", "nb_execution_mode=off", "-D", "suppress_warnings=myst-nb.lexer")


def main() -> int:
    """Write the pages, then build tree after tree; the exit code is the first one that is not 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="WORD", help="pages whose names hold this, no others")
    parser.add_argument("--lang", choices=LANGUAGES, help="this tree alone")
    parser.add_argument("--quick", action="store_true", help="leave the notebooks unexecuted")
    parser.add_argument("--keep", action="store_true", help="keep outputs of cells and pages")
    options = parser.parse_args()
    sys.path.insert(0, str(DOCS))
    from generators.write import write_pages

    if not options.keep:
        shutil.rmtree(DOCS / "_build", ignore_errors=True)
    began = time.perf_counter()
    number = write_pages(DOCS, only=options.only)
    print(f"wrote {number} pages in {time.perf_counter() - began:.0f} s", flush=True)
    for folder in [options.lang] if options.lang else LANGUAGES:
        began = time.perf_counter()
        code = _sphinx(folder, options.quick)
        if code:
            return code
        print(f"built {folder} in {time.perf_counter() - began:.0f} s", flush=True)
    return 0


def _sphinx(folder: str, quick: bool) -> int:
    command = [
        *(sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-j", "2"),
        *("-c", str(DOCS), "-D", f"language={LANGUAGES[folder]}"),
        *(QUICK if quick else ()),
        *("-d", str(DOCS / "_build" / "trees" / folder)),
        *(str(DOCS / folder), str(DOCS / "_build" / folder)),
    ]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
