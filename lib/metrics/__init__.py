"""What is reported of a trained model. `predictions` is exported here, other modules are imported by their names."""

from lib.metrics.predictions import accuracy, bits_per_character, predict, surprise, wilson_interval

__all__ = ["accuracy", "bits_per_character", "predict", "surprise", "wilson_interval"]
