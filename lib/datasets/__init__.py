"""Data: how they are made, fetched and split. One module per data set; none knows a model."""
