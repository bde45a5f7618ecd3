"""The embedded DICOMweb against the files themselves, frame by frame and bit by bit."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from app_server import MARKS_SOP, MARKS_STUDY, STACK_SERIES, STUDY, Server, Studies
from dicomweb_answers import STORED, as_pixels, parts
from PIL import Image

from monai_tavr.dicom.writer import SYNTAXES

SHORT_STUDY = "2.25.1500"
NATIVE = 'multipart/related; type="application/octet-stream"'
MEDIA_TYPES = {"rle": "image/dicom-rle", "jpeg-ls": "image/jls", "jpeg-ls-near": "image/jls", "jpeg2000": "image/jp2"} | {
    "jpeg2000-lossless": "image/jp2",
    **dict.fromkeys(("jpeg-lossless", "jpeg-lossless-sv1", "jpeg-baseline"), "image/jpeg"),
}


def instance_path(number: int) -> str:
    return f"/dicomweb/studies/{STUDY}/series/{STUDY}.{number}/instances/{STUDY}.{number}.1"


@pytest.mark.parametrize(("number", "name"), list(enumerate(SYNTAXES, start=1)), ids=list(SYNTAXES))
def test_frames_of_every_syntax_decode_to_what_pydicom_reads(server: Server, studies: Studies, number: int, name: str) -> None:
    header = pydicom.dcmread(studies.root / "syntaxes" / f"{name}.dcm")
    expected = studies.frames[f"{STUDY}.{number}.1"]
    path = instance_path(number)
    stored = parts(server.client.get(f"{path}/frames/3,1", headers={"accept": STORED}))
    for (kind, syntax, content), index in zip(stored, (2, 0), strict=True):
        assert kind == MEDIA_TYPES.get(name, "application/octet-stream")
        assert syntax == (str(SYNTAXES[name]) if name in MEDIA_TYPES else "1.2.840.10008.1.2.1")
        np.testing.assert_array_equal(as_pixels(content, str(syntax), header), expected[index])
    [(kind, syntax, content)] = parts(server.client.get(f"{path}/frames/4", headers={"accept": NATIVE}))
    assert (kind, syntax) == ("application/octet-stream", "1.2.840.10008.1.2.1")
    samples = np.frombuffer(content, "u1" if header.BitsAllocated == 8 else "<u2").reshape(expected.shape[1:])
    np.testing.assert_array_equal(samples, expected[3])


def test_an_instance_is_the_file(server: Server, studies: Studies) -> None:
    [(kind, syntax, content)] = parts(server.client.get(instance_path(1)))
    assert (kind, syntax) == ("application/dicom", str(next(iter(SYNTAXES.values()))))
    assert content == (studies.root / "syntaxes" / "explicit-le.dcm").read_bytes()
    series = parts(server.client.get(f"/dicomweb/studies/{STUDY}/series/{STACK_SERIES}"))
    assert [pydicom.dcmread(io.BytesIO(c)).InstanceNumber for _, _, c in series] == [1, 2, 3]


def test_metadata_describe_every_instance_without_pixels(server: Server) -> None:
    answer = server.client.get(f"/dicomweb/studies/{STUDY}/metadata")
    assert answer.headers["content-type"] == "application/dicom+json"
    found = {m["00080018"]["Value"][0]: m for m in answer.json()}
    assert len(found) == len(SYNTAXES) + 3
    first = found[f"{STUDY}.1.1"]
    assert (first["00280008"]["Value"], first["00280010"]["Value"], first["00280011"]["Value"]) == ([4], [40], [56])
    assert first["00083002"]["Value"] == [str(SYNTAXES["explicit-le"])]
    assert "7FE00010" not in first
    one = server.client.get(f"{instance_path(1)}/metadata").json()
    assert one == [first]
    assert len(server.client.get(f"/dicomweb/studies/{STUDY}/series/{STACK_SERIES}/metadata").json()) == 3


def found_studies(server: Server, **query: str) -> set[str]:
    answer = server.client.get("/dicomweb/studies", params=query)
    assert answer.status_code == 200
    return {s["0020000D"]["Value"][0] for s in answer.json()}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, {STUDY, MARKS_STUDY, SHORT_STUDY}),
        ({"PatientName": "secret*"}, {STUDY}),
        ({"00100010": "*PATIENT"}, {STUDY}),
        ({"PatientName": "secretname"}, set()),
        ({"PatientID": "M?RKS"}, {MARKS_STUDY}),
        ({"StudyInstanceUID": f"{STUDY},{MARKS_STUDY}"}, {STUDY, MARKS_STUDY}),
        ({"StudyDate": "20260101"}, {STUDY, MARKS_STUDY, SHORT_STUDY}),
        ({"StudyDate": "20250101-20251231"}, set()),
        ({"StudyDate": "20251231-"}, {STUDY, MARKS_STUDY, SHORT_STUDY}),
        ({"ModalitiesInStudy": "XA"}, {STUDY, MARKS_STUDY, SHORT_STUDY}),
        ({"ModalitiesInStudy": "CT"}, set()),
        ({"includefield": "all", "fuzzymatching": "true"}, {STUDY, MARKS_STUDY, SHORT_STUDY}),
        ({"PatientName": "[s]ecret*"}, set()),
        ({"offset": "1", "limit": "1"}, {STUDY}),
        ({"offset": "0", "limit": "1"}, {MARKS_STUDY}),
    ],
)
def test_search_for_studies(server: Server, query: dict[str, str], expected: set[str]) -> None:
    assert found_studies(server, **query) == expected


def test_search_results_count_what_they_hold(server: Server) -> None:
    [study] = server.client.get("/dicomweb/studies", params={"StudyInstanceUID": STUDY}).json()
    assert study["00201206"]["Value"] == [len(SYNTAXES) + 1]
    assert study["00201208"]["Value"] == [len(SYNTAXES) + 3]
    series = server.client.get(f"/dicomweb/studies/{STUDY}/series").json()
    assert [s["00200011"]["Value"][0] for s in series] == [*range(1, len(SYNTAXES) + 1), 77]
    instances = server.client.get(f"/dicomweb/studies/{STUDY}/series/{STACK_SERIES}/instances").json()
    assert [i["00080018"]["Value"][0] for i in instances] == [f"{STACK_SERIES}.{n}" for n in (1, 2, 3)]
    assert len(server.client.get("/dicomweb/instances").json()) == len(SYNTAXES) + 5
    assert len(server.client.get("/dicomweb/series", params={"SeriesNumber": "77"}).json()) == 1


def test_rendered_frames_show_the_grey_levels(server: Server, studies: Studies) -> None:
    answer = server.client.get(f"{instance_path(1)}/frames/2/rendered", headers={"accept": "image/png"})
    assert answer.headers["content-type"] == "image/png"
    picture = np.asarray(Image.open(io.BytesIO(answer.content)))
    np.testing.assert_array_equal(picture, studies.frames[f"{STUDY}.1.1"][1])
    marks = f"/dicomweb/studies/{MARKS_STUDY}/series/{MARKS_STUDY}.1/instances/{MARKS_SOP}"
    thumbnail = Image.open(io.BytesIO(server.client.get(f"{marks}/thumbnail").content))
    assert (thumbnail.format, max(thumbnail.size)) == ("JPEG", 128)
    twelve_bits = server.client.get(f"{instance_path(2)}/rendered", headers={"accept": "image/png"})
    expected = studies.frames[f"{STUDY}.2.1"][0] / 4095 * 255
    np.testing.assert_allclose(np.asarray(Image.open(io.BytesIO(twelve_bits.content))), expected, atol=1)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/frames/5", 404),
        ("/frames/0", 404),
        ("/frames/1,9", 404),
        ("/frames/x", 400),
        ("/frames/1,", 400),
        ("/frames/99999999999", 400),
        ("/frames/7/rendered", 404),
    ],
)
def test_frames_that_are_not_there(server: Server, path: str, status: int) -> None:
    assert server.client.get(f"{instance_path(1)}{path}").status_code == status


def test_uids_that_are_not_there_or_not_uids(server: Server) -> None:
    for path, status in {
        "/dicomweb/studies/9.9.9/metadata": 404,
        f"/dicomweb/studies/{MARKS_STUDY}/series/{STUDY}.1/metadata": 404,
        f"/dicomweb/studies/{MARKS_STUDY}/series/{STUDY}.1/instances/{STUDY}.1.1": 404,
        "/dicomweb/studies/abc/metadata": 422,
        f"/dicomweb/studies/{'1.' * 40}1/series": 422,
        "/dicomweb/studies?limit=-1": 400,
        "/dicomweb/studies?limit=x": 400,
    }.items():
        assert server.client.get(path).status_code == status, path


def test_a_new_file_is_found_and_a_vanished_one_forgotten(server: Server, studies: Studies) -> None:
    source = pydicom.dcmread(studies.root / "marks.dcm")
    source.StudyInstanceUID, source.SeriesInstanceUID = "2.25.3000", "2.25.3000.1"
    source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = "2.25.3000.1.1"
    late = studies.root / "late" / "arrival"  # archives give no extension
    late.parent.mkdir()
    source.save_as(late)
    assert "2.25.3000" in found_studies(server)
    assert server.client.get("/tavr/images/2.25.3000.1.1").json()["id"] == "2.25.3000.1.1"
    late.unlink()
    late.parent.rmdir()
    assert found_studies(server) == {STUDY, MARKS_STUDY, SHORT_STUDY}
