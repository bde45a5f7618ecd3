"""Which images there are: of a folder of studies or of a DICOMweb archive, and their files."""
