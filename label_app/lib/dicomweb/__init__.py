"""A read-only DICOMweb service (PS3.18) over the studies folder, so that the viewer needs no PACS."""
