"""`bridge.toml`: one good file, and each fault as its twin that differs in one thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.config import Settings, load_settings
from bridge.model.errors import StartRefused

GOOD = """\
issuer      = "https://127.0.0.1:8443"
listen      = "127.0.0.1:8443"
mtls_listen = "127.0.0.1:8444"

[tls]
certificate = "tls/server.pem"
private_key = "tls/server.key"

[policies]
directory = "policies"

[trust_domains."example.org"]
source = "file"
path   = "bundles/example.org.json"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls/server.pem").touch()
    (tmp_path / "tls/server.key").touch()
    return tmp_path


def load(folder: Path, text: str, environment: dict[str, str] | None = None, *, serving: bool = True) -> Settings:
    file = folder / "bridge.toml"
    file.write_text(text)
    return load_settings(file, environment or {}, serving=serving)


def faults(folder: Path, text: str, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(StartRefused) as refused:
        load(folder, text, environment)
    return list(refused.value.faults)


def test_a_good_file_loads_with_absolute_paths_and_the_contracts_defaults(folder: Path) -> None:
    settings = load(folder, GOOD)
    assert settings.policy_directory == folder / "policies"
    assert settings.database == folder / "bridge.db"
    assert settings.seal_file == folder / "secrets/seal.key"
    assert settings.trust_domains["example.org"].path == str(folder / "bundles/example.org.json")
    assert settings.mtls_base == "https://127.0.0.1:8444"
    assert (settings.workers, settings.threads) == (2, 8)
    assert settings.trust_domains["example.org"].max_stale == 24 * 3600
    assert (settings.tokens.default_ttl, settings.tokens.max_ttl) == (300, 3600)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(("workers", "wrokers = 3\nworkers"), ":4: wrokers: unknown key", id="unknown key, with its line"),
        pytest.param(('listen      = "127', "listen = 8443 #"), "listen: Input should be a valid string", id="type"),
        pytest.param(('"tls/server.pem"', '"tls/none.pem"'), "tls.certificate: no such file", id="missing file"),
        pytest.param(('"file"', '"https_web"'), "url: required for source", id="a polled source without its address"),
        pytest.param(
            ('path   = "bundles/example.org.json"', ""), "example.org.path: required", id="source without path"
        ),
        pytest.param(("example.org", "Example.org"), "a trust domain has only", id="trust domain's spelling"),
        pytest.param((':8443"\nlisten', ':8443/"\nlisten'), "no trailing slash", id="issuer with a slash"),
        pytest.param(('issuer      = "https', 'issuer      = "http'), "is http, but [tls]", id="http issuer with tls"),
        pytest.param(("127.0.0.1:8444", "127.0.0.1:8443"), "same address", id="two listeners on one address"),
        pytest.param(("127.0.0.1:8444", "127.0.0.1"), "host:port", id="no port"),
    ],
)
def test_one_wrong_thing_is_refused_by_name(folder: Path, change: tuple[str, str], expected: str) -> None:
    good = GOOD.replace("\n[tls]", "workers = 2\n\n[tls]", 1)
    load(folder, good)
    text = good.replace(*change, 1)
    assert text != good
    assert any(expected in fault for fault in faults(folder, text)), faults(folder, text)


@pytest.mark.parametrize(
    ("addition", "expected"),
    [
        pytest.param('[store]\nurl = "postgresql://db/x"', "postgresql:// is not in this version", id="postgresql"),
        pytest.param('[store]\nurl = "mysql://x"', "must be sqlite:///FILE", id="another database"),
        pytest.param('[drafts]\nspiffe_client_auth = "03"', 'knows "02", not "03"', id="another draft number"),
        pytest.param('[drafts]\nnew_draft = "01"', "unknown draft", id="unknown draft"),
        pytest.param('[tokens]\ndefault_ttl = "2h"', "is above max_ttl", id="ttl above its bound"),
        pytest.param('[tokens]\ndefault_ttl = "5 minutes"', "a duration is a string", id="duration"),
        pytest.param("[limits]\nregistration_burst = 0", "greater than 0", id="limit of zero"),
        pytest.param("[limits]\npending_per_trust_domain = 0", "greater than 0", id="DCR-22: limit of zero"),
    ],
)
def test_a_section_that_cannot_hold_is_refused(folder: Path, addition: str, expected: str) -> None:
    found = faults(folder, f"{GOOD}\n{addition}\n")
    assert any(expected in fault for fault in found), found


@pytest.mark.parametrize(
    "addition",
    ['[drafts]\nspiffe_client_auth = "02"', '[tokens]\ndefault_ttl = "30m"', "[limits]\nregistration_burst = 1"],
)
def test_the_accepted_twins_load(folder: Path, addition: str) -> None:
    load(folder, f"{GOOD}\n{addition}\n")


ISSUER = '[statement_issuers."https://ci.example.org"]\njwks_file = "trust/ci.json"\n'


def with_keys(folder: Path) -> Path:
    (folder / "trust").mkdir()
    (folder / "trust/ci.json").write_text('{"keys": []}')
    return folder


def test_a_statement_issuer_has_its_keys_in_a_file_beside_the_configuration_dcr_10(folder: Path) -> None:
    issuers = load(with_keys(folder), GOOD + ISSUER).statement_issuers
    assert {name: issuer.jwks_file for name, issuer in issuers.items()} == {
        "https://ci.example.org": str(folder / "trust/ci.json")
    }


@pytest.mark.parametrize("name", ["urn:example:ci", "https://ci.example.org/pipelines?x=1"])
def test_any_uri_can_be_an_issuer(folder: Path, name: str) -> None:
    assert name in load(with_keys(folder), GOOD + ISSUER.replace("https://ci.example.org", name)).statement_issuers


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("spiffe://example.org", "configure it under [trust_domains]", id="T-46: a trust domain"),
        pytest.param("SPIFFE://example.org/ci", "configure it under [trust_domains]", id="T-46: in capitals"),
        pytest.param("https://ci.example.org spiffe", "without spaces", id="space"),
        pytest.param("https://ci.exämple.org", "printable ASCII", id="not ASCII"),
        pytest.param("", "printable ASCII", id="empty"),
        pytest.param("ci", "an issuer is a URI", id="no URI"),
        pytest.param("https:///x", "an issuer is a URI", id="no host"),
        pytest.param("http://ci.example.org", "an issuer is https", id="http"),
        pytest.param("https://127.0.0.1:8443", "is this service itself", id="ourselves"),
    ],
)
def test_a_name_that_can_be_no_issuer_is_refused(folder: Path, name: str, expected: str) -> None:
    load(with_keys(folder), GOOD + ISSUER)
    found = faults(folder, GOOD + ISSUER.replace("https://ci.example.org", name))
    assert [expected in fault for fault in found] == [True], found


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param('jwks_uri = "http://127.0.0.1/jwks"', "jwks_uri: the URL is not https", id="T-4: by http"),
        pytest.param('jwks_uri = "https://ci@example.org/"', "jwks_uri: the URL has a user part", id="T-7: user part"),
        pytest.param(
            'jwks_file = "trust/ci.json"\njwks_uri = "https://ci/"', "one of jwks_file and jwks_uri", id="both"
        ),
        pytest.param("", "jwks_file or jwks_uri is required", id="neither"),
        pytest.param('jwks_file = "trust/none.json"', "jwks_file: no such file", id="missing file"),
        pytest.param('jwks_file = "trust/ci.json"\nkeys = []', "keys: unknown key", id="unknown key"),
    ],
)
def test_an_issuer_whose_keys_are_not_pinned_is_no_start_dcr_10(folder: Path, keys: str, expected: str) -> None:
    load(with_keys(folder), GOOD + ISSUER)
    found = faults(folder, GOOD + ISSUER.replace('jwks_file = "trust/ci.json"', keys))
    assert [expected in fault for fault in found] == [True], found


def test_an_issuer_s_keys_may_be_at_an_https_url_dcr_10(folder: Path) -> None:
    text = GOOD + ISSUER.replace('jwks_file = "trust/ci.json"', 'jwks_uri = "https://ci.example.org:8443/jwks"')
    assert load(folder, text).statement_issuers["https://ci.example.org"].jwks_uri == "https://ci.example.org:8443/jwks"


FETCH = '[fetch]\nallow_hosts = ["127.0.0.1:9443", "[::1]:9443", "docs.example.org:443"]\nca_file = "tls/ca.pem"\n'


def test_hosts_exempt_from_the_address_guard_are_named_exactly_CIMD_13(folder: Path) -> None:
    (folder / "tls/ca.pem").touch()
    fetch = load(folder, GOOD + FETCH).fetch
    assert fetch.allow_hosts == ["127.0.0.1:9443", "[::1]:9443", "docs.example.org:443"]
    assert fetch.ca_file == str(folder / "tls/ca.pem")
    assert load(folder, GOOD).fetch.allow_hosts == []


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        pytest.param("127.0.0.1", "nothing more", id="no port"),
        pytest.param("127.0.0.1:0", "port", id="no such port"),
        pytest.param("::1:9443", "host", id="IPv6 without brackets"),
        pytest.param("*.example.org:443", "host", id="a pattern"),
        pytest.param("Docs.example.org:443", "lower case", id="upper case"),
        pytest.param("docs.example.org:443/path", "nothing more", id="a path"),
        pytest.param("u@docs.example.org:443", "user part", id="a user part"),
        pytest.param("0177.0.0.1:443", "host", id="another spelling of an address"),
    ],
)
def test_a_host_that_is_not_named_exactly_is_no_start_CIMD_13(folder: Path, host: str, expected: str) -> None:
    (folder / "tls/ca.pem").touch()
    load(folder, GOOD + FETCH)
    found = faults(folder, GOOD + FETCH.replace("127.0.0.1:9443", host))
    assert len(found) == 1
    assert "fetch.allow_hosts" in found[0]
    assert expected in found[0]


def test_only_a_start_asks_for_the_ca_file_of_fetches(folder: Path) -> None:
    assert load(folder, GOOD + FETCH, serving=False).fetch.ca_file
    assert "fetch.ca_file: no such file" in faults(folder, GOOD + FETCH)[0]


def test_only_a_start_asks_for_the_keys_of_issuers(folder: Path) -> None:
    assert load(folder, GOOD + ISSUER, serving=False).statement_issuers
    assert "no such file" in faults(folder, GOOD + ISSUER)[0]


def test_management_stands_under_the_mtls_base_dcr_25(folder: Path) -> None:
    on = "[registration]\nmanagement = true\n"
    assert load(folder, GOOD + on).registration.management is True
    assert load(folder, GOOD).registration.management is False
    without = GOOD.replace('mtls_listen = "127.0.0.1:8444"\n', "")
    load(folder, without)
    (fault,) = faults(folder, without + on)
    assert "registration.management: needs mtls_listen" in fault


def test_a_trust_domain_may_have_other_limits(folder: Path) -> None:
    names = ("pending_per_trust_domain", "rule_registrations_per_second", "rule_registration_burst")
    names += ("identity_registrations_per_minute",)
    settings = load(folder, GOOD + "[limits]\n" + "".join(f"{name} = 7\n" for name in names))
    assert {name: getattr(settings.limits, name) for name in names} == dict.fromkeys(names, 7)
    own = load(folder, GOOD + "limits = { " + ", ".join(f"{name} = 9" for name in names) + " }\n")
    assert {name: getattr(own.trust_domains["example.org"].limits, name) for name in names} == dict.fromkeys(names, 9)
    defaults = [getattr(own.limits, name) for name in names]
    assert defaults == [1000, 200, 2000, 600]


def test_all_faults_come_at_once(folder: Path) -> None:
    text = GOOD.replace('"tls/server.pem"', '"a"').replace('"tls/server.key"', '"b"') + '[drafts]\nx = "1"\n'
    assert len(faults(folder, text)) == 3


def test_the_environment_lays_over_the_file(folder: Path) -> None:
    settings = load(
        folder, GOOD, {"BRIDGE_ISSUER": "https://as.example", "BRIDGE_TOKENS__MAX_TTL": "2h", "BRIDGE_WORKERS": "4"}
    )
    assert settings.issuer == "https://as.example"
    assert settings.tokens.max_ttl == 7200
    assert settings.workers == 4


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("BRIDGE_TOKENS__MAX_TLL", "2h", "unknown key"),
        ("BRIDGE_PROT", "1", "unknown key"),
        ("BRIDGE_TOKENS__DEFAULT_TTL", "2h", "is above max_ttl"),
        ("BRIDGE_TOKENS__DEFAULT_TTL", "soon", 'a duration is a string such as "90s", "5m", "1h" or "30d"'),
    ],
)
def test_a_fault_of_the_environment_is_said_of_its_name(folder: Path, name: str, value: str, words: str) -> None:
    load(folder, f'{GOOD}[tokens]\ndefault_ttl = "5m"\n', {"BRIDGE_TOKENS__DEFAULT_TTL": "2m"})
    found = faults(folder, f'{GOOD}[tokens]\ndefault_ttl = "5m"\n', {name: value})
    assert found == [f"environment: {name}: {words}"]


def test_a_line_that_only_the_environment_makes_wrong_names_what_does(folder: Path) -> None:
    text = f'{GOOD}[tokens]\ndefault_ttl = "5m"\n'
    (fault,) = faults(folder, text, {"BRIDGE_TOKENS__MAX_TTL": "1m"})
    assert fault.endswith("tokens.default_ttl: is above max_ttl (set by BRIDGE_TOKENS__MAX_TTL in the environment)")
    (fault,) = faults(folder, f'{text}max_ttl = "1m"\n')
    assert fault.endswith("tokens.default_ttl: is above max_ttl")


def test_a_section_that_only_the_environment_began_is_said_of_it(folder: Path) -> None:
    text = GOOD.replace('[tls]\ncertificate = "tls/server.pem"\nprivate_key = "tls/server.key"\n', "")
    both = {"BRIDGE_TLS__CERTIFICATE": "tls/server.pem", "BRIDGE_TLS__PRIVATE_KEY": "tls/server.key"}
    load(folder, text, both)
    del both["BRIDGE_TLS__PRIVATE_KEY"]
    (fault,) = faults(folder, text, both)
    assert fault == "environment: BRIDGE_TLS__CERTIFICATE: tls.private_key: required, and not there"


def test_only_a_start_asks_for_the_files_of_tls(folder: Path) -> None:
    load(folder, GOOD, serving=True)
    (folder / "tls/server.key").unlink()
    assert load(folder, GOOD, serving=False).tls is not None
    (fault,) = faults(folder, GOOD)
    assert "tls.private_key: no such file" in fault


def test_the_name_of_the_configuration_file_is_no_setting(folder: Path) -> None:
    load(folder, GOOD, {"BRIDGE_CONFIG": "elsewhere.toml"})


def test_what_kubernetes_says_of_a_service_called_bridge_is_no_setting(folder: Path) -> None:
    said = {"BRIDGE_SERVICE_HOST": "10.0.0.1", "BRIDGE_PORT": "tcp://10.0.0.1:8443", "BRIDGE_PORT_8443_TCP_ADDR": "x"}
    load(folder, GOOD, said)


def test_a_link_to_the_configuration_has_its_neighbours_beside_the_link(folder: Path, tmp_path: Path) -> None:
    (folder / "v1").mkdir()
    (folder / "v1/bridge.toml").write_text(GOOD)
    (folder / "bridge.toml").symlink_to("v1/bridge.toml")
    assert load_settings(folder / "bridge.toml", {}).policy_directory == folder / "policies"


def test_a_syntax_error_names_its_line(folder: Path) -> None:
    assert "bridge.toml:2: not TOML" in faults(folder, 'issuer = "https://a.example"\nlisten = \n')[0]


def test_without_tls_only_a_loopback_http_issuer_is_served(folder: Path) -> None:
    plain = GOOD.replace("https://", "http://").replace('mtls_listen = "127.0.0.1:8444"\n', "")
    plain = plain.replace('[tls]\ncertificate = "tls/server.pem"\nprivate_key = "tls/server.key"\n', "")
    assert load(folder, plain).tls is None
    assert any("loopback" in f for f in faults(folder, plain.replace('listen      = "127.0.0.1', 'listen = "0.0.0.0')))
    assert any("loopback" in f for f in faults(folder, plain.replace("http://127.0.0.1", "http://192.0.2.1")))
    assert any("tls: required" in f for f in faults(folder, plain.replace("http://", "https://")))


@pytest.mark.parametrize("text", ["workers = " + "1" * 5000, "a = " + "[" * 100_000], ids=["digits", "brackets"])
def test_what_no_parser_takes_is_refused_without_a_traceback(folder: Path, text: str) -> None:
    assert "not TOML that can be read" in faults(folder, text)[0]


def test_a_path_holds_no_nul(folder: Path) -> None:
    assert any("NUL" in fault for fault in faults(folder, GOOD.replace("bundles/example", "bundles/\\u0000example")))
