"""Where the project's files are."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("registry", "auth", "storage_backends", "config")
DOCS = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])


def sources(*folders: str) -> list[Path]:
    """All Python files below these folders of the project."""
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))
