"""The library behind the workbook: datasets, models, training, metrics and figures, joined only in the notebooks."""
