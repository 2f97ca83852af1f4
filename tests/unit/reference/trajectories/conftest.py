"""Where the makers of files for the tests of the readers are found."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
