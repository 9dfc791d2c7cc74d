"""No test here depends on the fonts of the machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import matplotlib as mpl
import pytest

from backbones.report import fonts


@pytest.fixture(autouse=True)
def no_font_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BACKBONES_FONT", raising=False)
    monkeypatch.setattr(fonts, "font_folders", lambda: ())


@pytest.fixture
def dejavu() -> Path:
    """A font that comes with Matplotlib: it has Greek and arrows, and no Chinese."""
    return Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@pytest.fixture
def font_folder(tmp_path: Path, dejavu: Path) -> Path:
    """A machine's font folder, where fonts pretend to be well-known ones."""
    folder = tmp_path / "fonts" / "truetype"
    folder.mkdir(parents=True)
    for name in ("NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "simhei.ttf"):
        shutil.copy(dejavu, folder / name)
    (folder / "NotoSansCJK-Bold.ttc").write_bytes(b"not a font")
    (folder / "Unknown.ttf").write_bytes(b"not a font")
    return folder.parent
