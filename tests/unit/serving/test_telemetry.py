"""What a server tells others of itself: nothing that nobody asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.unit.serving.running import Case

OPEN = "import sys, pathlib; from serin_contract.compiled import open_session; "
OPEN += "open_session(pathlib.Path(sys.argv[1]).read_bytes())"


def test_a_session_reports_to_nobody(wine: Case, tmp_path: Path) -> None:
    """onnxruntime's telemetry keeps its queue and an id of the machine below the home directory."""
    env = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    graph = str(wine.path / "model.onnx")
    subprocess.run([sys.executable, "-c", OPEN, graph], env=env | {"HOME": str(tmp_path)}, check=True, timeout=60)
    assert list(tmp_path.iterdir()) == []
