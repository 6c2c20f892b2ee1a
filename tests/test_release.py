"""release.py in a repository of its own, with a stub for the build."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "release.py"
if not SCRIPT.exists() or shutil.which("git") is None:
    pytest.skip("needs the sources and git", allow_module_level=True)

CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n\n## [0.1.0] - 2020-02-02\n"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """release.py as a module that sees a small clean repository at version 0.1.0."""
    spec = importlib.util.spec_from_file_location("release", SCRIPT)
    release = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(release)
    monkeypatch.setattr(release, "ROOT", tmp_path)
    monkeypatch.setattr(release, "build", lambda: None)
    for key in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{key}_NAME", "a test")
        monkeypatch.setenv(f"{key}_EMAIL", "")
    for name, place in release.PLACES.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(f"context:\n{place.format('0.1.0')}\n")
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    release.git("init", "--quiet")
    release.git("add", ".")
    release.git("commit", "--quiet", "--message", "start")
    return release


def texts(tree):
    return {name: (tree.ROOT / name).read_text() for name in (*tree.PLACES, "CHANGELOG.md")}


def test_versions_are_bumped_the_changelog_dated_and_the_commit_tagged(tree):
    tree.release("0.2.0")
    found = texts(tree)
    changelog = found.pop("CHANGELOG.md")
    assert all("0.2.0" in text and "0.1.0" not in text for text in found.values())
    today = tree.datetime.now(tree.UTC).date()
    assert f"## [Unreleased]\n\n## [0.2.0] - {today}\n\n### Added\n\n- A thing.\n" in changelog
    assert tree.git("status", "--porcelain") == ""
    assert tree.git("rev-parse", "v0.2.0^{commit}") == tree.git("rev-parse", "HEAD")
    assert tree.git("log", "-1", "--format=%s") == "Release 0.2.0"


def test_the_next_release_needs_news(tree):
    tree.release("0.2.0")
    with pytest.raises(SystemExit, match="what is new under"):
        tree.release("0.3.0")


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("0.1.0", "above 0.1.0"),
        ("0.0.9", "above 0.1.0"),
        ("0.2", "three numbers"),
        ("v0.2.0", "three numbers"),
        ("0.2.0", "there is a tag"),
    ],
)
def test_a_version_that_cannot_be(tree, version, message):
    tree.git("tag", "v0.2.0")
    before = texts(tree)
    with pytest.raises(SystemExit, match=message):
        tree.release(version)
    assert texts(tree) == before


def test_a_tree_that_is_not_clean_is_left_alone(tree):
    (tree.ROOT / "new.txt").write_text("")
    with pytest.raises(SystemExit, match=r"clean, found\n\?\? new.txt"):
        tree.release("0.2.0")
    assert tree.git("tag") == ""


def test_a_build_that_fails_leaves_no_trace(tree, monkeypatch):
    def fails():
        raise subprocess.CalledProcessError(1, "build")

    before = texts(tree)
    monkeypatch.setattr(tree, "build", fails)
    with pytest.raises(subprocess.CalledProcessError):
        tree.release("0.2.0")
    assert texts(tree) == before and tree.git("tag") == ""
