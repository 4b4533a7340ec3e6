#!/usr/bin/env python3
"""Counts what CTest ran, from its JUnit file, and compares that with the *_test.cc files of the tree.

usage: ran.py tests.xml

Every x_test.cc anywhere under folder/ must have been run as the test folder/x_test. Ends with "N passed, N failed".
"""
import pathlib
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent


def test_files():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*_test.cc"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.split()
    paths = [pathlib.Path(name) for name in listed if (ROOT / name).exists()]
    return {f"{path.parts[0]}/{path.stem}" for path in paths}


def main():
    outcome = {}
    path = pathlib.Path(sys.argv[1])
    if path.exists():
        for case in ElementTree.parse(path).getroot().iter("testcase"):
            outcome[case.get("name")] = case.get("status") == "run"
    failures = [f"{name}: failed" for name, passed in outcome.items() if not passed]
    failures += [f"{name}: not run by CTest" for name in sorted(test_files() - outcome.keys())]
    for line in failures:
        print(line)
    print(f"{sum(outcome.values())} passed, {len(failures)} failed")
    return 1 if failures or not outcome else 0


if __name__ == "__main__":
    sys.exit(main())
