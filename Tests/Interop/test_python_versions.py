"""The code of expanded exports works with an older major version of transformers too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

OLDER = Path(sys.prefix) / "transformers-4"


@pytest.mark.skipif(not OLDER.is_dir(), reason="transformers 4 is not installed beside transformers 5")
def test_transformers_4():
    found = subprocess.run(
        [sys.executable, "-c", "import transformers; print(transformers.__version__)"],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(OLDER)})
    assert found.stdout.startswith("4.5"), found.stdout + found.stderr
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_python_models.py", "-k", "expanded or grouped or variants"],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(OLDER)},
        cwd=Path(__file__).parent)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
