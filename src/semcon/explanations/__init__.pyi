# Written by scripts/stubs.py from the files of this folder.
from semcon.explanations.grad_cam import GradCam as GradCam
from semcon.explanations.gradient import Gradient as Gradient
from semcon.explanations.input_x_gradient import InputXGradient as InputXGradient
from semcon.explanations.integrated_gradients import IntegratedGradients as IntegratedGradients
from semcon.explanations.lime import Lime as Lime
from semcon.explanations.occlusion import Occlusion as Occlusion
from semcon.explanations.rise import Rise as Rise
from semcon.explanations.smooth_grad import SmoothGrad as SmoothGrad
