# Written by scripts/stubs.py from the files of this folder.
from semcon.evaluations.adversarial import Adversarial as Adversarial
from semcon.evaluations.axis_meaning import AxisMeaning as AxisMeaning
from semcon.evaluations.bias_search import BiasSearch as BiasSearch
from semcon.evaluations.continuity import Continuity as Continuity
from semcon.evaluations.corruption import Corruption as Corruption
from semcon.evaluations.explanation_faithfulness import ExplanationFaithfulness as ExplanationFaithfulness
from semcon.evaluations.explanation_focus import ExplanationFocus as ExplanationFocus
from semcon.evaluations.explanation_stability import ExplanationStability as ExplanationStability
from semcon.evaluations.frequency import Frequency as Frequency
from semcon.evaluations.group_gap import GroupGap as GroupGap
from semcon.evaluations.shortcut import Shortcut as Shortcut
from semcon.evaluations.smoothness import Smoothness as Smoothness
from semcon.evaluations.transfer import Transfer as Transfer
