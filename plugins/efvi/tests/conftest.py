"""Modules of this folder that its tests share are found by their names."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
