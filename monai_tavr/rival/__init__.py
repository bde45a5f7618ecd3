"""The benchmark on patients that anybody can repeat: BAMNet's public data, its folds and its figures, beside this model's.

`published` is what its authors wrote, `export` reads their data, `folds` deals patients out, `errors` measures as they do,
`cross_validation` evaluates and fine-tunes, `report` and `plot` show both.
"""
