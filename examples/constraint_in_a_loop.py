"""The semantic continuity constraint in a PyTorch loop of your own: two lines."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import semcon

torch.manual_seed(0)
images, labels = torch.rand(256, 3, 32, 32), torch.randint(10, (256,))
model = nn.Sequential(
    nn.Conv2d(3, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

constraint = semcon.ContinuityConstraint(["gaussian_noise", "brightness"], severity=[0.1, 0.3])
for x, y in zip(images.split(64), labels.split(64), strict=True):
    view, penalty = constraint.together(model, x)
    loss = cross_entropy(view.logits, y) + 4 * penalty.mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

print(f"loss {loss.item():.3f}, relative change {penalty.mean().item():.3f}")
