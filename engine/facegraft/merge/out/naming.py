"""Names of files that belong to frames: the frame's own, or a pattern with its number."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from facegraft.media.open import PATTERN


@dataclass(frozen=True, slots=True)
class FileNames:
    """pattern: file name without suffix and with one number mark, '' for the frame's own name."""

    folder: Path
    pattern: str
    suffix: str

    @classmethod
    def of(cls, path: Path, suffix: str) -> Self | None:
        """For a folder, or a pattern of that suffix; None for anything else."""
        if path.is_dir() or not path.suffix:
            return cls(path, "", suffix)
        if path.suffix.lower() == suffix and len(PATTERN.findall(path.name)) == 1:
            return cls(path.parent, path.stem, path.suffix)
        return None

    def stem_of(self, name: str, index: int) -> str:
        """A pattern takes the number at the end of the frame's name, else its index."""
        if not self.pattern:
            return name
        number = re.search(r"\d+$", name)
        value = int(number[0]) if number else index
        return PATTERN.sub(lambda mark: f"{value:0{_digits(mark[0])}d}", self.pattern)

    def path_of(self, name: str, index: int) -> Path:
        return self.folder / f"{self.stem_of(name, index)}{self.suffix}"


def _digits(mark: str) -> int:
    """How many digits '####', '%04d' or '%d' stands for."""
    number = re.search(r"\d+", mark)
    return len(mark) if mark.startswith("#") else int(number[0]) if number else 1
