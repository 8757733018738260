# Written by scripts/stubs.py from the files of this folder.
from semcon.distances.l2 import L2 as L2
