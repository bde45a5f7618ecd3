"""Synthetic TAVR angiography: a procedural patient, its devices and contrast, seen by a C-arm, with exact keypoints.

One noun per file. The patient's half: `anatomy` (who), `camera` (from where), `raster` (how shapes become attenuation),
`background`, `contrast`, `detector` (how attenuation becomes grey levels), `realism` (how near that is to real frames).

World coordinates in mm: x to the patient's left, y to posterior, z to cranial; the origin is the centre of the aortic annulus.
"""
