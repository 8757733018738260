"""Audit a model of your own in ten lines: a torch module and a pair of tensors."""

import torch
from torch import nn

import semcon

model = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 15 * 15, 10))
images, labels = torch.rand(100, 3, 32, 32), torch.randint(10, (100,))

record = semcon.audit(model, (images, labels), mean=(0.5,) * 3, std=(0.25,) * 3, perturbations=["hue", "jpeg"])
record.show()
print(record.table("flip"))
record.report("report.html")
