"""Robust training: losses, schedules, recipes, the loop."""

from ballproof.train.config import TRAIN_METHODS, TrainConfig, make_config
from ballproof.train.loop import Trainer
from ballproof.train.loss import robust_loss
from ballproof.train.recipe import read_recipe, recipe_names

__all__ = ["TRAIN_METHODS", "TrainConfig", "Trainer", "make_config", "read_recipe", "recipe_names", "robust_loss"]
