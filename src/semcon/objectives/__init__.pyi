# Written by scripts/stubs.py from the files of this folder.
from semcon.objectives.augmentation import Augmentation as Augmentation
from semcon.objectives.augmix import Augmix as Augmix
from semcon.objectives.continuity import Continuity as Continuity
from semcon.objectives.cross_entropy import CrossEntropy as CrossEntropy
from semcon.objectives.distillation import Distillation as Distillation
from semcon.objectives.stability_training import StabilityTraining as StabilityTraining
from semcon.objectives.trades import Trades as Trades
