"""`[tracing]`: what it takes, what it refuses, and that without it nothing of OpenTelemetry is there."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.config import load_settings
from bridge.config.settings import TracingSettings
from bridge.model.errors import StartRefused
from bridge.wiring_tracing import EXTRA, open_traces, require_traceable

ENDPOINT = "https://collector.example.org:4318/v1/traces"
PROXY = '[[trusted_proxies]]\nunix = "proxy.sock"\nheader = "client-cert"\n'
GOOD = f'endpoint = "{ENDPOINT}"'


def settings(folder: Path, section: str, more: str = "", *, serving: bool = False) -> TracingSettings | None:
    (folder / "policies").mkdir(exist_ok=True)
    file = folder / "bridge.toml"
    file.write_text(
        'issuer = "https://127.0.0.1:8443"\nlisten = "127.0.0.1:8443"\n[policies]\ndirectory = "policies"\n'
        f'[tls]\ncertificate = "bridge.toml"\nprivate_key = "bridge.toml"\n'
        f'[trust_domains."example.org"]\nsource = "file"\npath = "example.org.json"\n{more}[tracing]\n{section}\n'
    )
    return load_settings(file, {}, serving=serving).tracing


def test_an_endpoint_is_enough(tmp_path: Path) -> None:
    tracing = settings(tmp_path, GOOD)
    assert tracing is not None
    assert (tracing.ratio, tracing.trust_proxies, tracing.service_name) == (0.05, False, "spiffe-oauth-bridge")


@pytest.mark.parametrize(
    ("section", "more"),
    [
        ('endpoint = "http://127.0.0.1:4318/v1/traces"', ""),
        (f"{GOOD}\nratio = 1", ""),
        (f"{GOOD}\nratio = 0.0", ""),
        (f"{GOOD}\ntrust_proxies = true", PROXY),
    ],
)
def test_what_it_takes(tmp_path: Path, section: str, more: str) -> None:
    assert settings(tmp_path, section, more) is not None


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("ratio = 0.1", "tracing.endpoint: required"),
        ('endpoint = "http://collector.example.org:4318/v1/traces"', "http, which only a loopback host may have"),
        ('endpoint = "https://collector.example.org:4318"', "the whole URL"),
        ('endpoint = "https://user:secret@collector.example.org/v1/traces"', "tracing.endpoint"),
        (f"{GOOD}\nratio = 1.5", "tracing.ratio"),
        (f'{GOOD}\nratio = "all"', "tracing.ratio"),
        (f'{GOOD}\nservice_name = ""', "tracing.service_name"),
        (f"{GOOD}\nsampler = 1", "unknown key"),
        (f"{GOOD}\ntrust_proxies = true", "there are no [[trusted_proxies]]"),
        ('endpoint = "http://127.0.0.1:4318/v1/traces"\nca_file = "ca.pem"', "is for an https endpoint"),
    ],
)
def test_what_it_refuses(tmp_path: Path, section: str, words: str) -> None:
    with pytest.raises(StartRefused) as refused:
        settings(tmp_path, section)
    assert words in str(refused.value)


def test_a_start_needs_the_files_that_it_names(tmp_path: Path) -> None:
    section = f'{GOOD}\nheaders_file = "collector.headers"'
    assert settings(tmp_path, section) is not None
    with pytest.raises(StartRefused, match=r"tracing\.headers_file: no such file"):
        settings(tmp_path, section, serving=True)


def test_without_the_extra_it_is_no_start_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracing = settings(tmp_path, GOOD)
    assert tracing is not None
    require_traceable(tracing)
    real = importlib.util.find_spec
    lacking = lambda name, package=None: None if name.startswith("opentelemetry") else real(name, package)  # noqa: E731
    monkeypatch.setattr("bridge.wiring_tracing.find_spec", lacking)
    with pytest.raises(StartRefused) as refused:
        require_traceable(tracing)
    assert EXTRA in str(refused.value)
    assert "take the section out" in str(refused.value)


def test_a_worker_without_the_extra_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bridge.toml").touch()
    settings(tmp_path, GOOD)
    whole = load_settings(tmp_path / "bridge.toml", {})
    monkeypatch.delitem(sys.modules, "bridge.observe.trace_export", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.common.trace_encoder", None)
    with pytest.raises(StartRefused, match="OpenTelemetry"):
        open_traces(whole)


def test_without_the_section_nothing_of_opentelemetry_is_imported() -> None:
    """What a worker imports, in a process of its own: others of this one may have it already."""
    code = "import bridge.app, bridge.preparing, sys; print([n for n in sys.modules if n.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
