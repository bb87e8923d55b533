"""What trains and resumes; the loop is exported here, the other modules are imported by their names."""

from lib.training.loop import TrainingError, best_device, fit, shuffled, to_device

__all__ = ["TrainingError", "best_device", "fit", "shuffled", "to_device"]
