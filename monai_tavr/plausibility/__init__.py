"""Whether a label is plausible: the rules of the annotation guide, and what is usual of poses and steps."""

from monai_tavr.plausibility.check import check_label
from monai_tavr.plausibility.finding import RULES, Finding
from monai_tavr.plausibility.statistics import NO_STATISTICS, PoseStatistics
from monai_tavr.plausibility.statistics_file import read_statistics, shipped_statistics, write_statistics

__all__ = [
    "NO_STATISTICS",
    "RULES",
    "Finding",
    "PoseStatistics",
    "check_label",
    "read_statistics",
    "shipped_statistics",
    "write_statistics",
]
