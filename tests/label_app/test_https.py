"""The server as other machines get it: a certificate, tokens, MONAI Label's own client; and what others are told."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from app_server import Studies, free_port
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from stock_client import MONAILabelClient

from label_app.lib.auth.tokens import TokenFile


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tavr test")]), datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return cert_file, key_file


class Https:
    """A running server, how to trust it, and an annotator's token."""

    def __init__(self, url: str, certificate: Path, token: str, log: Path) -> None:
        self.url, self.token, self.log = url, token, log
        self.trust = ssl.create_default_context(cafile=str(certificate))

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, verify=self.trust, timeout=300, headers=headers)


@pytest.fixture(scope="module")
def https(studies: Studies, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Https]:
    folder = tmp_path_factory.mktemp("https")
    certificate, key = write_certificate(folder)
    token = TokenFile(folder / "tokens.json").add("anna", role="annotator")
    port = free_port()
    options = ["--port", port, "--tls-cert", certificate, "--tls-key", key, "--token-file", folder / "tokens.json"]
    start = [sys.executable, "-m", "label_app.server", "start_server", "--studies", studies.root, "--labels", folder / "labels"]
    log = folder / "log.txt"
    with log.open("w") as errors:
        command = [str(part) for part in (*start, *options, "--verbose", "INFO")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        viewer = next((line for line in lines if line.startswith("Viewer:")), "")
        assert viewer.split() == ["Viewer:", f"https://127.0.0.1:{port}/ohif/"], log.read_text()
        yield Https(f"https://127.0.0.1:{port}", certificate, token, log)
    finally:
        process.terminate()
        process.wait(timeout=120)
        assert process.stdout is not None
        process.stdout.close()


def test_a_browser_is_led_to_the_login_and_gets_a_secure_cookie(https: Https) -> None:
    with https.client(accept="text/html", origin=https.url) as browser:
        sent = browser.get("/ohif/")
        assert (sent.status_code, sent.headers["location"]) == (303, "/tavr/login?next=%2Fohif%2F")
        done = browser.post("/tavr/login", data={"token": https.token})
        assert done.headers["set-cookie"].startswith("__Host-tavr=")
        assert "Secure" in done.headers["set-cookie"]
        status = browser.get("/tavr/status").json()
        assert (status["user"], status["auth"]) == ({"name": "anna", "roles": ["annotator"]}, "token")
        assert browser.get("/ohif/").status_code == 200
        assert browser.delete("/train/").status_code == 403


def test_nobody_reads_anything_without_a_token(https: Https) -> None:
    with https.client() as nobody:
        for path in (
            "/dicomweb/studies",
            "/tavr/images",
            "/tavr/status",
            "/info/",
            "/datastore/",
            "/ohif/app-config.js",
            "/openapi.json",
        ):
            assert nobody.get(path).status_code == 401, path
        assert nobody.get("/auth/").json()["enabled"] is True


def test_without_encryption_there_is_no_answer(https: Https) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.get(https.url.replace("https", "http") + "/tavr/status", timeout=60)
    with pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(f"{https.url}/tavr/status", timeout=60)


def test_monai_labels_client_logs_in(https: Https) -> None:
    client = MONAILabelClient(https.url)
    assert client.auth_enabled()
    assert not client.auth_valid_token()
    client.update_auth(client.auth_token("anna", https.token))
    assert client.auth_valid_token()


def test_the_log_holds_no_token(https: Https) -> None:
    with https.client(authorization=f"Bearer {https.token}x") as wrong:
        assert wrong.get("/tavr/status").status_code == 401
    log = https.log.read_text()
    assert "instance(s)" in log
    assert https.token not in log
    audit = https.log.with_name("labels") / "audit.jsonl"
    assert "login.refused" in audit.read_text()
    assert https.token not in audit.read_text()
