"""A DICOMweb archive (PACS) as this server asks it: searches, instances, storing, and answers passed on.

Everything outside speaks to the archive through this one object. It keeps the credentials, which come from the environment and go
nowhere else, follows no redirect, and turns every failure into a :class:`PacsError` with words for people.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import requests
from dicomweb_client import DICOMwebClient
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth

from label_app.lib.images.pacs_error import PacsError

__all__ = ["PacsClient"]

logger = logging.getLogger(__name__)

_USER, _PASSWORD, _FILE = "MONAI_TAVR_PACS_USER", "MONAI_TAVR_PACS_PASSWORD", "MONAI_TAVR_PACS_CREDENTIALS"
_TIMEOUT = (5.0, 60.0)  # seconds to connect, and between two packets
_ATTEMPTS = 2
_PAGE = 200  # results of one search request
_ONE_MESSAGE = 1 << 28  # bytes; a report is sent in one piece
_CONNECTIONS = 16

Answer = TypeVar("Answer")


class PacsClient:
    """Asks one archive. Safe for use by several threads.

    Args:
        url: root of its DICOMweb service. A query narrows the studies, e.g. ``https://pacs/dicom-web?StudyDate=20260101-``.
        credentials: user and password, or None.

    Raises:
        ValueError: the address cannot be used; says why.
    """

    def __init__(self, url: str, *, credentials: tuple[str, str] | None = None) -> None:
        parts = urlsplit(url)
        if parts.username or parts.password:
            raise ValueError(f"--studies: others can read the command line; give user and password by {_USER} and {_PASSWORD}")
        if not parts.hostname or parts.fragment:
            raise ValueError("--studies: a DICOMweb archive is given as https://host/path, e.g. https://pacs/dicom-web")
        self.host = parts.hostname
        self.url = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
        self.filters = _filters(parts.query)
        if credentials and parts.scheme == "http" and self.host not in ("localhost", "127.0.0.1", "::1"):
            logger.warning("the archive's password crosses the network unencrypted: use https")
        self._session = requests.Session()
        if credentials:  # in UTF-8, as RFC 7617 has it
            self._session.auth = HTTPBasicAuth(*(part.encode() for part in credentials))
        self._session.max_redirects = 0  # whoever redirects would get the password
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS))
        for name in ("dicomweb_client", "urllib3", "retrying"):  # they log addresses
            logging.getLogger(name).setLevel(logging.ERROR)
        # of archives that answer without parts; set once, for to catch warnings is not safe in threads
        warnings.filterwarnings("ignore", "message sent by origin server", UserWarning)
        self._web = DICOMwebClient(self.url, session=self._session, timeout=_TIMEOUT, chunk_size=_ONE_MESSAGE)
        self._web.set_http_retry_params(max_attempts=_ATTEMPTS, wait_exponential_multiplier=250)

    @classmethod
    def from_environment(cls, url: str, environment: Mapping[str, str] = os.environ) -> PacsClient:
        """With the credentials that the environment holds, itself or in a file of two lines that nobody else may read.

        Raises:
            ValueError: only one of user and password is set, or the file cannot be used.
        """
        user, password = environment.get(_USER), environment.get(_PASSWORD)
        if (name := environment.get(_FILE)) is not None:
            user, password = _read_credentials(Path(name))
        if (user is None) != (password is None):
            raise ValueError(f"{_USER} and {_PASSWORD} belong together; set both or none")
        return cls(url, credentials=None if user is None or password is None else (user, password))

    def studies(self, modality: str) -> Iterator[Dataset]:
        """Studies that hold a modality, page by page."""
        filters = {**self.filters, "ModalitiesInStudy": modality}
        fields = ["NumberOfStudyRelatedInstances", "StudyDescription", "ModalitiesInStudy"]
        offset = 0
        while True:
            page = _ask(self._web.search_for_studies, fields=fields, search_filters=filters, limit=_PAGE, offset=offset)
            yield from _datasets(page)
            offset += len(page)
            if len(page) < _PAGE:
                return

    def series(self, study: str, modality: str) -> list[Dataset]:
        """Series of a study."""
        fields = ["SeriesDescription"]
        found = _ask(self._web.search_for_series, study, fields=fields, search_filters={"Modality": modality})
        return [s for s in _datasets(found) if str(s.get("Modality") or modality) == modality]

    def instances(self, study: str, series: str) -> list[Dataset]:
        """Instances of a series, without pixels."""
        fields = ["SOPClassUID", "InstanceNumber", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "SamplesPerPixel"]
        return _datasets(_ask(self._web.search_for_instances, study, series, fields=fields, get_remaining=False))

    def metadata(self, study: str, series: str, sop: str) -> Dataset:
        """The whole header of an instance.

        Raises:
            PacsError: the archive does not answer, refuses, or has no such header.
        """
        found = _datasets([_ask(self._web.retrieve_instance_metadata, study, series, sop)])
        if not found:
            raise PacsError("the archive's header of an image cannot be read")
        return found[0]

    def series_metadata(self, study: str, series: str) -> list[Dataset]:
        """The whole headers of a series."""
        return _datasets(_ask(self._web.retrieve_series_metadata, study, series))

    def instance(self, study: str, series: str, sop: str) -> Dataset:
        """A whole instance, its pixels as they are stored."""
        return _ask(self._web.retrieve_instance, study, series, sop, media_types=(("application/dicom", "*"),))

    def holds(self, study: str, series: str, sop: str) -> bool:
        """Whether the archive has an instance."""
        filters = {"SOPInstanceUID": sop, "SeriesInstanceUID": series}
        found = _datasets(_ask(self._web.search_for_instances, study, search_filters=filters))
        return any(str(i.get("SOPInstanceUID")) == sop for i in found)

    def store(self, dataset: Dataset) -> None:
        """Store an instance, and look whether it is there: answers to STOW-RS differ too much to be believed.

        Raises:
            PacsError: it is not there.
        """
        uids = str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID), str(dataset.SOPInstanceUID)
        if self.holds(*uids):
            return
        try:
            _ask(self._web.store_instances, [dataset])
        except ValueError as error:
            logger.debug("the archive's answer cannot be read: %s", error)
        if not self.holds(*uids):
            raise PacsError("the archive did not keep the report; its log may say why")

    def stream(self, path: str, *, accept: str, params: Mapping[str, str] | None = None) -> requests.Response:
        """The archive's answer to a GET below its root, its body not read yet. Whoever calls closes it.

        Args:
            path: made of checked UIDs and numbers only.
            accept: media types.
            params: query.
        """
        query = f"?{urlencode(params, safe=',*')}" if params else ""  # Orthanc does not decode commas
        return _ask(self._get, self.url + path + query, headers={"Accept": accept})

    def _get(self, url: str, **options: Any) -> requests.Response:
        answer = self._session.get(url, stream=True, timeout=_TIMEOUT, **options)
        try:
            answer.raise_for_status()
        except requests.HTTPError:
            answer.close()
            raise
        return answer


def _filters(query: str) -> dict[str, str]:
    filters = dict(parse_qsl(query, keep_blank_values=True))
    for keyword in filters:
        if tag_for_keyword(keyword) is None:
            raise ValueError(f"--studies: {keyword[:40]!r} is no DICOM keyword; narrow the studies as in ?StudyDate=20260101-")
    return filters


def _read_credentials(path: Path) -> tuple[str, str]:
    try:
        if path.stat().st_mode & 0o077:
            raise ValueError(f"{_FILE}: others may read this file; run: chmod 600 {path}")
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ValueError(f"{_FILE}: the file cannot be read: {error.strerror}") from error
    if len(lines) < 2 or not lines[0]:
        raise ValueError(f"{_FILE}: the file must hold the user on its first line and the password on its second")
    return lines[0], lines[1]


def _ask(call: Callable[..., Answer], *args: Any, **options: Any) -> Answer:
    try:
        return call(*args, **options)
    except requests.HTTPError as error:
        raise _refusal(502 if error.response is None else error.response.status_code) from None
    except requests.TooManyRedirects:
        raise PacsError("the archive sends this server elsewhere; give its final address with --studies") from None
    except requests.exceptions.SSLError:
        raise PacsError("the archive's TLS certificate is not trusted; name its authority's file by REQUESTS_CA_BUNDLE") from None
    except (requests.RequestException, ConnectionError, TimeoutError):
        raise PacsError("the archive (PACS) does not answer; try again, or ask its administrator", status=503) from None


def _refusal(status: int) -> PacsError:
    if status in (401, 403):
        return PacsError(f"the archive refuses this server ({status}): its administrator must set {_USER} and {_PASSWORD}")
    if status == 404:
        return PacsError("the archive does not have it any more", status=404)
    if status in (408, 429, 503, 504):
        return PacsError(f"the archive is busy ({status}); try again", status=503)
    return PacsError(f"the archive failed ({status}); its log may say why")


def _datasets(found: list[dict[str, Any]]) -> list[Dataset]:
    """Search results or headers without what lies elsewhere; one that cannot be read is left out."""
    datasets = []
    for item in found:
        try:
            datasets.append(Dataset.from_json({tag: e for tag, e in item.items() if "BulkDataURI" not in e}))
        except Exception as error:  # damaged values may raise almost anything, and their words quote them
            logger.warning("the archive lists something that cannot be read (%s)", type(error).__name__)
    return datasets
