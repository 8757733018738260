# Written by scripts/stubs.py from the files of this folder.
from semcon.representations.layer import Layer as Layer
from semcon.representations.logits import Logits as Logits
from semcon.representations.pixels import Pixels as Pixels
from semcon.representations.probabilities import Probabilities as Probabilities
