"""MONAI Label's name for the agreement of model and annotators, so that it is listed by ``GET /info/``."""

from __future__ import annotations

from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.scoring import ScoringMethod

from label_app.lib.labels.agreement import Agreement

__all__ = ["AgreementScoring"]


class AgreementScoring(ScoringMethod):
    """Scores over all final labels."""

    def __init__(self, agreement: Agreement) -> None:
        super().__init__("Agreement of the model's points with the final labels, per point and per annotator")
        self._agreement = agreement

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        return self._agreement.scores()
