"""Labels: their versions, submissions, the archive that they go to as reports, agreement with the model."""
