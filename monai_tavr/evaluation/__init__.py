"""How good predictions are: truth beside prediction, figures with intervals, calibration, thresholds, plots."""
