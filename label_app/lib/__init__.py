"""What the MONAI Label app is made of: tasks, the image store, the embedded DICOMweb and the guard in front of them."""
