"""A pattern that can freeze a process is found, wherever it stands."""

from pathlib import Path

import pytest

from tools.patterns import main

_SLOW = r"a+!"
_PLACES = {
    "module": f"_PATTERN = re.compile(r'{_SLOW}')",
    "dict": f"_PATTERNS = {{'one': [re.compile(r'{_SLOW}')]}}",
    "class": f"class Reader:\n    pattern = re.compile(r'{_SLOW}')",
    "function": f"def read(text):\n    return re.sub(r'{_SLOW}', '', text)",
    "f_string": f"def read(text, name):\n    return re.search(rf'(?:{{name}}|{_SLOW})', text)",
}


@pytest.mark.parametrize("place", _PLACES)
def test_slow(tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named with its module."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"slow_{place}.py").write_text(f"import re\n{_PLACES[place]}\n")
    assert main([str(tmp_path)]) == 1
    assert f"slow_{place}" in capsys.readouterr().out


def test_linear(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is linear is counted only; a folder without any pattern is a mistake of who calls."""
    monkeypatch.syspath_prepend(tmp_path)
    assert main([str(tmp_path)]) == 1
    (tmp_path / "linear_one.py").write_text("import re\n_PATTERN = re.compile('^[a-z]+')\n")
    assert main([str(tmp_path)]) == 0
    assert "1 patterns, 0 that are not linear" in capsys.readouterr().out
