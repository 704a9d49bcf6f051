"""Makes the kit, by default in the directory where it is looked for.

python -m squeezebert_edge.devices.native [DIRECTORY [WHEELS]]
"""

import sys
from pathlib import Path

from squeezebert_edge.devices import native
from squeezebert_edge.devices.native import build

paths = [Path(word) for word in sys.argv[1:]]
build.make(paths[0] if paths else native.kit_directory(), paths[1] if len(paths) > 1 else None)
