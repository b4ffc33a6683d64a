"""Every fault script of this folder, one after the other, at its full length: python tests/faults

Exit code 1 when one of them found something. It takes an hour or two on two cores,
more than half of it for the signals that come while the network is compiled.
"""

import argparse
import subprocess
import sys
from pathlib import Path

SCRIPTS = (
    "failing.py",
    "damage.py",
    "non_finite.py",
    "strangers.py",
    "processes.py",
    "cuts.py",
    "stopping.py",
    "kill.py",
    "gpu.py",
)
"""The quickest first, and last what measures nothing without a GPU."""

if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    codes = []
    for script in SCRIPTS:
        print(f"\n{script}", flush=True)
        codes.append(subprocess.run([sys.executable, str(Path(__file__).parent / script)]).returncode)
    sys.exit(1 if any(codes) else 0)
