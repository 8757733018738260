# Written by scripts/stubs.py from the files of this folder.
from semcon.representations.logits import Logits as Logits
