"""Bump the version, date the changelog, build, commit and tag: ``python release.py 0.2.0``.

Needs a clean tree and ``pip install build``. Nothing is pushed: pushing the tag publishes.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parent
VERSION = re.compile(r"\d+\.\d+\.\d+")
# Where the version stands, and what stands around it.
PLACES = {
    "ckmeans/_version.py": '__version__ = "{}"',
    "recipe/recipe.yaml": '  version: "{}"',
}
UNRELEASED = "## [Unreleased]\n"


def git(*arguments: str) -> str:
    run = subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return run.stdout.strip()


def current_version() -> str:
    text = (ROOT / "ckmeans/_version.py").read_text()
    return text.split('__version__ = "')[1].split('"')[0]


def as_numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def unreleased(changelog: str) -> str:
    """What stands under the heading of the next version."""
    return changelog.partition(UNRELEASED)[2].partition("\n## ")[0].strip()


def check(version: str) -> None:
    """Why there is nothing to release as `version`, if so."""
    if not VERSION.fullmatch(version):
        raise SystemExit(f"the version must be three numbers as in 1.2.3, got {version!r}")
    if as_numbers(version) <= as_numbers(current_version()):
        raise SystemExit(f"the version must be above {current_version()}, got {version}")
    if changes := git("status", "--porcelain"):
        raise SystemExit(f"the tree must be clean, found\n{changes}")
    if git("tag", "--list", f"v{version}"):
        raise SystemExit(f"there is a tag v{version} already")
    if not unreleased((ROOT / "CHANGELOG.md").read_text()):
        raise SystemExit("CHANGELOG.md must say what is new under [Unreleased]")


def bump(version: str) -> None:
    old = current_version()
    for name, place in PLACES.items():
        replace(name, place.format(old), place.format(version))
    today = datetime.now(UTC).date()
    replace("CHANGELOG.md", UNRELEASED, f"{UNRELEASED}\n## [{version}] - {today}\n")


def replace(name: str, old: str, new: str) -> None:
    path = ROOT / name
    text = path.read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name} must have {old!r} once")
    path.write_text(text.replace(old, new))


def build() -> None:
    subprocess.run([sys.executable, "-m", "build", "--outdir", "dist", "."], cwd=ROOT, check=True)


def release(version: str) -> None:
    check(version)
    try:
        bump(version)
        build()
    except BaseException:
        git("checkout", "--quiet", ".")
        raise
    git("commit", "--quiet", "--all", "--message", f"Release {version}")
    git("tag", "--annotate", f"v{version}", "--message", f"ckmeans {version}")
    print(f"v{version} is built in dist/ and tagged; git push --follow-tags publishes it")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version")
    release(parser.parse_args().version)
