"""What is learned from features: nearest neighbours, a linear probe, class means of a few images."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from semcon.keyed import Keys
from semcon.transferring.target import first_of_each

NEIGHBOURS, TEMPERATURE = 20, 0.07
STRENGTHS = tuple(10.0**power for power in range(-4, 3))  # of scikit-learn's C, one over the L2 penalty
FOLDS = 5


@dataclass(frozen=True)
class Guess:
    """The class of each image, (N,), and the probability that it is given, (N,)."""

    prediction: Tensor
    confidence: Tensor

    @classmethod
    def of(cls, probabilities: Tensor) -> Guess:
        """From (N, K)."""
        best = probabilities.max(1)
        return cls(best.indices, best.values)


def nearest_neighbours(train: Tensor, labels: Tensor, test: Tensor, classes: int) -> Guess:
    """The 20 nearest by cosine vote with weight exp(cosine / 0.07). Source: Wu et al., arXiv 1805.01978, 3.4."""
    train, votes = functional.normalize(train), torch.zeros(len(test), classes)
    count = min(NEIGHBOURS, len(train))
    for start in range(0, len(test), 1024):
        near = (functional.normalize(test[start : start + 1024]) @ train.T).topk(count, dim=1)
        weight = ((near.values - near.values[:, :1]) / TEMPERATURE).exp()
        votes[start : start + 1024].scatter_add_(1, labels[near.indices], weight)
    return Guess.of(votes / votes.sum(1, keepdim=True))


def linear_probe(
    train: Tensor, labels: Tensor, test: Tensor, classes: int, seed: int = 0, *, ids: Tensor | None = None
) -> tuple[Guess, float]:  # fmt: skip
    """Logistic regression on standardised features; C, the inverse L2 penalty, by cross-validation over five folds.

    Returns the guess, and C. `ids` (N,): which image each is; C is chosen on one of every image, so that none is held
    out and learned from at once. With a class of fewer than two images, nothing can be held out, and C is 1.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model: Any = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    x, y, chosen = train.double().numpy(), labels.numpy(), 1.0
    one = slice(None) if ids is None else first_of_each(ids).numpy()
    folds = min(FOLDS, int(np.unique(y[one], return_counts=True)[1].min()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of the weakest penalties, which seldom win
        if folds > 1:
            splits = StratifiedKFold(folds, shuffle=True, random_state=seed % 2**32)
            search = GridSearchCV(model, {"logisticregression__C": STRENGTHS}, cv=splits, refit=False)
            chosen = float(search.fit(x[one], y[one]).best_params_["logisticregression__C"])
        model.set_params(logisticregression__C=chosen).fit(x, y)
    probabilities = np.zeros((len(test), classes))
    probabilities[:, model.classes_] = model.predict_proba(test.double().numpy())
    return Guess.of(torch.from_numpy(probabilities).float()), chosen


def class_means(train: Tensor, labels: Tensor, test: Tensor, classes: int) -> Guess:
    """The class whose mean feature is nearest by cosine. Source: prototypical networks, arXiv 1703.05175.

    Both are seen from the mean of the images learned from; of that which they share nothing would tell them apart.
    """
    middle = train.mean(0)
    train, test = (functional.normalize(part - middle) for part in (train, test))
    means = functional.normalize(torch.zeros(classes, train.shape[1]).index_add_(0, labels, train))
    scores = (test @ means.T).masked_fill(torch.bincount(labels, minlength=classes) == 0, -torch.inf)
    return Guess.of((scores / TEMPERATURE).softmax(1))


def few(ids: Tensor, labels: Tensor, shots: int, seed: int, draw: int) -> Tensor:
    """Rows of `shots` different images of each class, (M,): keyed, so that 5 images of a class are among its 10."""
    rows = first_of_each(ids)
    order = rows[Keys(ids[rows], seed, draw, "few_shot").bits("rank").argsort(stable=True)]
    chosen = [order[labels[order] == label][:shots] for label in labels.unique().tolist()]
    return torch.cat(chosen)
