"""UIDs that were written before stay what they were: studies and reports are known by them."""

from __future__ import annotations

from pydicom.uid import UID

from monai_tavr import uids


def test_what_is_made_of_the_same_has_the_same_uid():
    assert uids.derived_uid(uids.PHANTOM, "study/tiny/0/P000") == uids.derived_uid(uids.PHANTOM, "study/tiny/0/P000")
    assert uids.derived_uid(uids.PHANTOM, "a") != uids.derived_uid(uids.ARCHIVED_REPORT, "a")
    assert uids.uid_of(uids.SOFTWARE) == "2.25.303137384131270203160325113470224351745"
    # 5f0c6c0e-... and the name, as RFC 9562 makes a UUID of version 5
    assert uids.derived_uid(uids.TRACKED_POINT, "1.2.3 AA1") == "2.25.171688219468701711263440385901934826203"


def test_they_are_valid_and_random_ones_differ():
    made = [uids.random_uid(), uids.random_uid(), uids.derived_uid(uids.CINE, "a")]
    assert len(set(made)) == 3
    assert all(UID(uid).is_valid for uid in made)
