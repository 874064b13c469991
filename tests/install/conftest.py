"""The installer's modules, imported the way install.py imports them: from their own folder."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
Load = Callable[[str], ModuleType]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.syspath_prepend(str(REPOSITORY / "install"))

    def by_name(name: str) -> ModuleType:
        return sys.modules.get(name) or importlib.import_module(name)

    return by_name
