"""A real PACS for the tests: Debian's Orthanc with its DICOMweb plugin, as a process of its own, on this machine only."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from app_server import free_port

USER, PASSWORD = "tavr", "p4ss:wörd"
_PLUGINS = "/usr/share/orthanc/plugins"
_JPEG_2000 = [f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 92, 93)]  # the plugin crashes on JPEG Lossless
_START_SECONDS = 240


@dataclass
class Orthanc:
    """An archive whose files lie in ``folder``; it can be stopped and started again, and as a context runs until its end."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", auth=(USER, PASSWORD), timeout=300)

    def __enter__(self) -> Orthanc:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/dicom-web"

    @property
    def environment(self) -> dict[str, str]:
        """What a server of this project wants to know of it."""
        return {"MONAI_TAVR_PACS_USER": USER, "MONAI_TAVR_PACS_PASSWORD": PASSWORD}

    def start(self) -> None:
        config = {
            "Name": "Test archive",
            "HttpPort": self.port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "DicomServerEnabled": False,
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "Plugins": [f"{_PLUGINS}/libOrthancDicomWeb.so", f"{_PLUGINS}/libOrthancGdcm.so"],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            "Gdcm": {"Enable": True, "RestrictTransferSyntaxes": _JPEG_2000},
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "orthanc.json").write_text(json.dumps(config))
        with (self.folder / "orthanc.log").open("ab") as log:
            self.process = subprocess.Popen(["Orthanc", str(self.folder / "orthanc.json")], stdout=log, stderr=log)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.folder / "orthanc.log").read_text()
            try:
                if self.client.get("/system").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.2)
        raise AssertionError("Orthanc does not answer")

    def stop(self) -> None:
        """Returns when it has gone: its database is locked until then."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=120)
            self.process = None

    def close(self) -> None:
        """For good."""
        self.stop()
        self.client.close()

    def upload(self, path: Path) -> None:
        answer = self.client.post("/instances", content=path.read_bytes())
        assert answer.status_code == 200, answer.text

    def search(self, path: str, **params: str) -> list[dict[str, Any]]:
        """What QIDO-RS finds."""
        answer = self.client.get(f"/dicom-web{path}", params=params, headers={"Accept": "application/dicom+json"})
        assert answer.status_code == 200, answer.text
        return list(answer.json())

    def reports(self, folder: Path) -> list[Path]:
        """Every SR in the archive, as files, in the order of their instance numbers."""
        found = []
        for name in self.client.get("/instances").json():
            tags = self.client.get(f"/instances/{name}/simplified-tags").json()
            if tags["Modality"] == "SR":
                path = folder / f"{int(tags['InstanceNumber']):04d}.{name}.dcm"
                path.write_bytes(self.client.get(f"/instances/{name}/file").content)
                found.append(path)
        return sorted(found)
