"""The same by captum and quantus, in an environment of their own; writes how far the two are apart.

    python -m venv peers && peers/bin/pip install torch captum quantus safetensors scikit-learn
    peers/bin/python studies/explanation_parity/theirs.py --data DIR --ours explanations.npz --out results/parity.json

Needs nothing of semcon but the file that `ours.py` wrote.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import quantus
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import InputXGradient, IntegratedGradients, LayerAttribution, LayerGradCam, Lime
from captum.metrics import infidelity, sensitivity_max
from safetensors.torch import load_file
from torch import Tensor, nn

NETWORKS = {
    "resnet20": ("akamaster_resnet20", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "resnet2b": ("robust_resnet2b", (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
}
STEPS, RADIUS, PATCH, SHARES = 32, 0.02, 4, 16


class Normalised(nn.Module):
    """From [0, 1] to logits, or to probabilities."""

    def __init__(self, network: nn.Module, mean: Any, std: Any, *, probabilities: bool = False) -> None:
        super().__init__()
        self.network, self.probabilities = network, probabilities
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        logits = self.network((x - self.mean) / self.std)
        return logits.softmax(1) if self.probabilities else logits


def networks(data: Path, name: str) -> tuple[Normalised, Normalised]:
    """Logits and probabilities of one network."""
    weights, mean, std = NETWORKS[name]
    spec = importlib.util.spec_from_file_location("models", data / "weights" / "cifar10" / "models.py")
    models = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(models)
    network = getattr(models, name)()
    network.load_state_dict(load_file(data / "weights" / "cifar10" / f"{weights}.safetensors"))
    return Normalised(network, mean, std).eval(), Normalised(network, mean, std, probabilities=True).eval()


def alike(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """Largest difference over the largest of theirs, and the smallest correlation of an image."""
    flat = [one.reshape(len(one), -1) for one in (ours, theirs)]
    with np.errstate(invalid="ignore"):
        correlations = [np.corrcoef(a, b)[0, 1] for a, b in zip(*flat, strict=True)] if flat[0].shape[1] > 1 else []
    found = {"largest_relative_difference": float(np.abs(ours - theirs).max() / np.abs(theirs).max())}
    known = [one for one in correlations if np.isfinite(one)]
    return found | ({"smallest_correlation": float(min(known))} if known else {})


def lime(model: nn.Module, x: Tensor, target: Tensor, given: dict[str, np.ndarray]) -> Tensor:
    """captum's Lime with the reference's kernel and penalty, on the same superpixels and the same draws."""
    maps = []
    for row in range(len(x)):
        segments = torch.from_numpy(given["segments"][row])
        count = int(segments.max()) + 1
        draws = iter(torch.from_numpy(given["shown"][row][:, :count]).float())

        def near(_original: Tensor, _copy: Tensor, shown: Tensor, **_: Any) -> Tensor:
            cosine = (shown.sum() / shown.numel()).sqrt()
            return torch.exp(-((1 - cosine) ** 2) / 0.25**2).sqrt()

        method = Lime(
            model, interpretable_model=SkLearnRidge(alpha=1.0), similarity_func=near,
            perturb_func=lambda _x, draws=draws, **_: next(draws)[None],
        )  # fmt: skip
        maps.append(
            method.attribute(
                x[row : row + 1], target=int(target[row]), feature_mask=segments[None, None].expand(1, 3, -1, -1),
                baselines=torch.from_numpy(given["ground"][row])[None], n_samples=given["shown"].shape[1],
                perturbations_per_eval=1,
            )[0, 0]
        )  # fmt: skip
    return torch.stack(maps)


def compared(data: Path, name: str, given: dict[str, np.ndarray]) -> dict[str, Any]:
    """One network: everything that both know."""
    logits, probabilities = networks(data, name)
    x, target = torch.from_numpy(given["x"]), torch.from_numpy(given["target"])
    found: dict[str, Any] = {}
    integrated = IntegratedGradients(logits).attribute(x, target=target, n_steps=STEPS, method="gausslegendre")
    found["integrated gradients (captum)"] = alike(given["integrated_gradients"], integrated.detach().sum(1).numpy())
    product = InputXGradient(logits).attribute(x.clone().requires_grad_(), target=target).detach()
    found["input x gradient (captum)"] = alike(given["input_x_gradient"], product.sum(1).numpy())
    found |= in_float64(data, name, x, target, given)
    layer = dict(logits.network.named_modules())[str(given["layer"])]
    cam = LayerGradCam(logits, layer).attribute(x, target=target, relu_attributions=True)
    cam = LayerAttribution.interpolate(cam, x.shape[2:], "bilinear").detach()[:, 0]
    found["GradCAM (captum)"] = alike(given["grad_cam"], cam.numpy()) | {"layer": str(given["layer"])}
    found["LIME (captum)"] = alike(given["lime"], lime(probabilities, x, target, given).detach().numpy())
    found["infidelity (captum)"] = of_captum(logits, x, target, given, normalize=False)
    found["max-sensitivity (captum)"] = sensitive(logits, x, target, given)
    found["max-sensitivity (quantus)"] = sensitive_quantus(logits, given)
    found["deletion (quantus)"] = alike(given["deletion"].T, deletion_quantus(logits, given))
    blocks = quantus.Infidelity(perturb_patch_sizes=[PATCH], n_perturb_samples=1, perturb_baseline=0.0)
    theirs = blocks(
        model=logits, x_batch=given["x"], y_batch=given["target"], a_batch=given["integrated_gradients"][:, None],
        channel_first=True, device="cpu",
    )  # fmt: skip
    found["infidelity (quantus)"] = alike(given["blocks"], np.array(theirs))
    return found


def in_float64(data: Path, name: str, x: Tensor, target: Tensor, given: dict[str, np.ndarray]) -> dict[str, Any]:
    """Both gradient maps once more, where no ReLU is near enough to 0 for rounding to move it across."""
    model, x = networks(data, name)[0].double(), x.double()
    for kind, values in zip(("mean", "std"), NETWORKS[name][1:], strict=True):
        setattr(model, kind, torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1))
    integrated = IntegratedGradients(model).attribute(x, target=target, n_steps=STEPS, method="gausslegendre")
    product = InputXGradient(model).attribute(x.clone().requires_grad_(), target=target)
    return {
        f"{words} in float64 (captum)": alike(given[f"{key}_64"], theirs.detach().sum(1).numpy())
        for words, key, theirs in (
            ("integrated gradients", "integrated_gradients", integrated),
            ("input x gradient", "input_x_gradient", product),
        )
    }


def of_captum(model: nn.Module, x: Tensor, target: Tensor, given: dict[str, np.ndarray], *, normalize: bool) -> dict:
    """captum's infidelity with the same squares, one draw after the other."""
    where = iter(torch.from_numpy(given["where"]))

    def perturb(inputs: Tensor) -> tuple[Tensor, Tensor]:
        square = next(where)[:, None]
        change = torch.where(square, inputs - inputs.mean((2, 3), keepdim=True), torch.zeros_like(inputs))
        return change, inputs - change

    maps = torch.from_numpy(given["integrated_gradients"])[:, None].expand_as(x)
    theirs = infidelity(
        model, perturb, x, maps, target=target, n_perturb_samples=len(given["where"]), max_examples_per_batch=len(x),
        normalize=normalize,
    )  # fmt: skip
    return alike(given["infidelity"], theirs.detach().numpy())


def sensitive(model: nn.Module, x: Tensor, target: Tensor, given: dict[str, np.ndarray]) -> dict[str, float]:
    """captum's, with the same noise."""
    noise = iter(torch.from_numpy(given["noise"]))

    def explain(inputs: Tensor | tuple[Tensor], target: Tensor) -> Tensor | tuple[Tensor]:
        found = InputXGradient(model).attribute(first(inputs).requires_grad_(), target=target)
        found = found.sum(1, keepdim=True).detach()
        return (found,) if isinstance(inputs, tuple) else found

    def first(inputs: Tensor | tuple[Tensor]) -> Tensor:
        return inputs[0] if isinstance(inputs, tuple) else inputs

    theirs = sensitivity_max(
        explain, x.clone(), perturb_func=lambda inputs: first(inputs) + next(noise),
        n_perturb_samples=len(given["noise"]), max_examples_per_batch=len(x), target=target,
    )  # fmt: skip
    return alike(given["sensitivity"], theirs.detach().numpy())


def sensitive_quantus(model: nn.Module, given: dict[str, np.ndarray]) -> dict[str, float]:
    """quantus', with the same noise."""
    noise = iter(given["noise"])

    def explain(model: nn.Module, inputs: np.ndarray, targets: np.ndarray, **_: Any) -> np.ndarray:
        x = torch.as_tensor(inputs, dtype=torch.float32).requires_grad_()
        found = InputXGradient(model).attribute(x, target=torch.as_tensor(targets))
        return found.sum(1, keepdim=True).detach().numpy()

    metric = quantus.MaxSensitivity(
        nr_samples=len(given["noise"]), perturb_func=lambda arr, **_: arr + next(noise).reshape(arr.shape)
    )
    theirs = metric(
        model=model, x_batch=given["x"], y_batch=given["target"], a_batch=None, explain_func=explain,
        channel_first=True, device="cpu",
    )  # fmt: skip
    return alike(given["sensitivity"], np.array(theirs))


def deletion_quantus(model: nn.Module, given: dict[str, np.ndarray]) -> np.ndarray:
    """The curve of PixelFlipping; its features are single channels, so that every third step ends with whole pixels."""
    metric = quantus.PixelFlipping(
        features_in_step=given["x"][0, 0].size // SHARES, perturb_baseline=0.0, normalise=False
    )
    theirs = metric(
        model=model, x_batch=given["x"], y_batch=given["target"], a_batch=given["integrated_gradients"][:, None],
        channel_first=True, softmax=True, device="cpu",
    )  # fmt: skip
    return np.array(theirs)[:, 2::3]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--ours", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    settings = parser.parse_args()
    warnings.simplefilter("ignore")
    with np.load(settings.ours) as file:
        arrays = dict(file)
    result: dict[str, Any] = {"versions": {name: version(name) for name in ("torch", "captum", "quantus")}}
    for name in NETWORKS:
        given = {key.partition("/")[2]: value for key, value in arrays.items() if key.startswith(f"{name}/")}
        result["images"] = len(given["x"])
        result[name] = compared(settings.data, name, given)
        result[name]["ReLUs on the other side of 0"] = dict(
            zip(("number", "of"), given["crossed"].tolist(), strict=True)
        )
        for what, figures in result[name].items():
            print(f"{name:9} {what:32}", {k: v if isinstance(v, str) else round(v, 9) for k, v in figures.items()})
    settings.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
