"""What networks are trained on: data, loss, metric, baseline and success criterion."""
