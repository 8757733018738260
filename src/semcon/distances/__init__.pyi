# Written by scripts/stubs.py from the files of this folder.
from semcon.distances.cosine import Cosine as Cosine
from semcon.distances.jensen_shannon import JensenShannon as JensenShannon
from semcon.distances.kl import Kl as Kl
from semcon.distances.l2 import L2 as L2
from semcon.distances.label_change import LabelChange as LabelChange
