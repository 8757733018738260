# Written by scripts/stubs.py from the files of this folder.
from semcon.models.file import File as File
from semcon.models.module import Module as Module
from semcon.models.network import Network as Network
from semcon.models.run import Run as Run
from semcon.models.timm import Timm as Timm
from semcon.models.torchvision import Torchvision as Torchvision
