"""Randomized smoothing: radii that hold with a stated probability over the draws. Never a proof."""

from ballproof.smooth.noise import Ablation, Gaussian, Noise, Uniform
from ballproof.smooth.smoothed import Smoothed, SmoothedPrediction, SmoothedRadius

__all__ = ["Ablation", "Gaussian", "Noise", "Smoothed", "SmoothedPrediction", "SmoothedRadius", "Uniform"]
