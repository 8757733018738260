# Written by scripts/stubs.py from the files of this folder.
from semcon.datasets.arrays import Arrays as Arrays
from semcon.datasets.colored_digits import ColoredDigits as ColoredDigits
from semcon.datasets.domains import Domains as Domains
from semcon.datasets.folder import Folder as Folder
from semcon.datasets.mnist5k import Mnist5k as Mnist5k
from semcon.datasets.parquet import Parquet as Parquet
from semcon.datasets.shapes import Shapes as Shapes
from semcon.datasets.torch_dataset import TorchDataset as TorchDataset
