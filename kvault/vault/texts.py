"""Text that a vault gathers statistics on and measures perplexity with: ordinary prose that ships with kvault."""

from __future__ import annotations

from pathlib import Path

import kvault

PROSE = Path(kvault.__file__).parent / "demo" / "data" / "text"


def prose() -> list[str]:
    """Paragraphs of ordinary text."""
    return [
        paragraph.strip()
        for path in sorted(PROSE.glob("*.txt"))
        for paragraph in path.read_text("utf-8").split("\n\n")
        if paragraph.strip()
    ]
