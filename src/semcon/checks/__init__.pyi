# Written by scripts/stubs.py from the files of this folder.
from semcon.checks.batch_dependence import BatchDependence as BatchDependence
from semcon.checks.black_box import BlackBox as BlackBox
from semcon.checks.chance import Chance as Chance
from semcon.checks.collapsed_representation import CollapsedRepresentation as CollapsedRepresentation
from semcon.checks.default_preprocessing import DefaultPreprocessing as DefaultPreprocessing
from semcon.checks.duplicates import Duplicates as Duplicates
from semcon.checks.few_images import FewImages as FewImages
from semcon.checks.inert import Inert as Inert
from semcon.checks.label_order import LabelOrder as LabelOrder
from semcon.checks.missing_labels import MissingLabels as MissingLabels
from semcon.checks.nondeterministic import Nondeterministic as Nondeterministic
from semcon.checks.normalization import Normalization as Normalization
from semcon.checks.probabilities_as_logits import ProbabilitiesAsLogits as ProbabilitiesAsLogits
from semcon.checks.single_class import SingleClass as SingleClass
from semcon.checks.skipped_images import SkippedImages as SkippedImages
from semcon.checks.small_images import SmallImages as SmallImages
from semcon.checks.training_mode import TrainingMode as TrainingMode
