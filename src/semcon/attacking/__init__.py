"""Adversarial attacks on the search that all perturbations share: what they want, how they climb, where they stop."""
