"""Every static finding, beside a twin that has none: file, line, rule and code (interface section 3)."""

from __future__ import annotations

import pytest

from bridge.policy.findings import Severity
from bridge.policy.folder import PolicyDefaults
from bridge.policy.locate import Lines
from tests.unit.policy.policy_folders import CATALOGUE, HEADERS, LEDGER, MAIL, Policies, rule

GOOD = rule()
X509 = 'path = "/ns/web/sa/*", evidence = "x509-svid"'
BOTH = f'"{LEDGER}", "{MAIL}"'


@pytest.mark.parametrize(
    ("code", "bad"),
    [
        ("unknown-key", GOOD.replace('why = "because"', 'why = "because"\nwhom = "x"')),
        ("unknown-key", rule(when='path = "/ns/web/sa/*", paths = "/x"')),
        ("unknown-key", rule(more='ttl = "5m"')),
        ("missing-why", GOOD.replace('why = "because"', "")),
        ("empty", GOOD.replace('why = "because"', 'why = ""')),
        ("missing-id", GOOD.replace('id = "r"', "")),
        ("missing-when", GOOD.replace('when = { path = "/ns/web/sa/*" }', "")),
        ("missing-grant", GOOD.split("grant")[0]),
        ("missing-resources", GOOD.replace(f'resources = ["{LEDGER}"], ', "")),
        ("missing-scopes", GOOD.replace('scopes = ["ledger.read"], ', "")),
        ("wrong-value", rule("has space")),
        ("unknown-value", rule(effect="permit")),
        ("wrong-type", GOOD.replace('why = "because"', "why = 7")),
        ("wrong-type", rule(when="path = 7")),
        ("wrong-type", rule(more='require_par = "yes"')),
        ("empty-list", rule(when="path = []")),
        ("empty-list", rule(when='path = "/ns/web/sa/*", evidence = []')),
        ("empty-list", rule(scopes="")),
        ("empty-list", rule(resources="")),
        ("empty-list", rule(more="grant_types = []")),
        ("pattern", rule(when='path = "/ns/web*"')),
        ("pattern", rule(when='path = ["/ns/web/sa/*", "/ns/**/x"]')),
        ("path", rule(when='evidence = "jwt-svid"')),
        ("path", rule(when='path = "/ns/*", any_path = true', key="broad = true")),
        ("broad", rule(when='path = "/*/web/sa/api"')),
        ("broad", rule(when='path = "/**"')),
        ("broad", rule(when="any_path = true")),
        ("evidence", rule(when='path = "/ns/*", evidence = "pushed"')),
        ("not-built", rule(when='path = "/ns/*", evidence = "wit-svid"')),
        ("unknown-value", rule(when='path = "/ns/*", evidence = "x509"')),
        ("door", rule(when='path = "/ns/*", door = "authorize"')),
        ("unknown-value", rule(when='path = "/ns/*", door = "tokens"')),
        ("grant-type", rule(when='path = "/ns/*", grant_type = "refresh_token"')),
        ("unknown-value", rule(more='grant_types = ["password"]')),
        ("deny-only", rule(when='path = "/ns/*", scope = "ledger.read"')),
        ("deny-only", rule(when=f'path = "/ns/*", resource = "{LEDGER}"')),
        ("deny-grants", rule(effect="deny") + f'grant = {{ resources = ["{LEDGER}"], scopes = ["ledger.read"] }}'),
        ("unknown-scope", rule(scopes='"ledger.reed"')),
        ("unknown-resource", rule(resources=f'"{LEDGER}", "https://ledgr.example.org"')),
        ("unknown-scope", rule(effect="deny", when='path = "/ns/*", scope = "ledger.reed"')),
        ("unknown-resource", rule(effect="deny", when='path = "/ns/*", resource = "https://l.example"')),
        ("scope-elsewhere", rule(scopes='"ledger.read", "mail.send"')),
        ("scope-elsewhere", rule(effect="deny", when=f'path = "/a", scope = "mail.send", resource = "{LEDGER}"')),
        ("bind-missing", rule(bind=None)),
        ("bind-missing", rule(when='path = "/ns/*", evidence = ["x509-svid", "jwt-svid"]', bind=None)),
        ("bind-impossible", rule(bind="x5t#S256")),
        ("bind-impossible", rule(when='path = "/ns/*", evidence = "jwt-svid"', bind="x5t#S256")),
        ("unknown-value", rule(bind="x5t")),
        ("ttl-above-bound", rule(more='token_ttl = "61m"')),
        ("wrong-value", rule(more='token_ttl = "0m"')),
        ("wrong-value", rule(more='token_ttl = "5 minutes"')),
        ("wrong-value", rule(more="token_ttl = 300")),
        ("refresh-ttl", rule(more='refresh_ttl = "1h"')),
        ("lease", rule(more='lease = "25h"')),
        ("replay", rule(when=X509, bind=None, more='replay = "once"')),
        ("asserts", rule(more='asserts = ["client_nmae"]')),
        ("client", rule(more='client = "everybody"')),
        ("client", rule(more="client = { share = 'x' }")),
        ("shared-id", rule(more='client = { shared = "instance-x" }')),
        ("shared-id", rule(more='client = { shared = "statement-x" }')),
        ("redirect-uri", rule(more='redirect_uris = "http://a.example/cb"')),
        ("redirect-uri", rule(more='redirect_uris = "https://a.example/*"')),
        ("redirect-uri", rule(more='redirect_uris = "https://a.example/cb#x"')),
        ("redirect-uri", rule(more='redirect_uris = "https://{1}/cb"')),
        ("redirect-uri", rule(more='redirect_uris = "https://a.{1}.example/cb"')),
        ("redirect-uri", rule(more='redirect_uris = "https://x{1}.a.example/cb"')),
        ("redirect-uri", rule(more='redirect_uris = "https://a.example/{2}"')),
        ("redirect-uri", rule(when='path = "/ns/web"', more='redirect_uris = "https://a.example/{1}"')),
        ("redirect-uri", rule(more='redirect_uris = "https://A.example/cb"')),
        ("redirect-uri", rule(more='redirect_uris = "https://a.example/x/../cb"')),
        ("redirect-uri", rule(more='redirect_uris = "https://a.example/%2e%2e/{1}"')),
        ("redirect-uri", rule(more='redirect_uris = "https://a.example/cb?state=x"')),
        ("redirect-uri", rule(more='redirect_uris = "https://a.example:0443/{1}"')),
        ("redirect-uri", rule(more='redirect_uris = "https://a.example/cb?{1}=x"')),
        ("duplicate-id", GOOD + rule("r", when='path = "/x/y"')),
        ("syntax", GOOD.replace("when = {", "when = {{")),
        ("syntax", GOOD.replace('why = "because"', 'why = "because"\nwhy = "again"')),
    ],
)
def test_a_fault_keeps_the_file_from_loading(policies: Policies, code: str, bad: str) -> None:
    policies.rules(GOOD)
    assert policies.check() == ()
    policies.rules(bad)
    findings = [finding for finding in policies.check() if finding.severity is Severity.ERROR]
    assert code in {finding.code for finding in findings}
    assert all(finding.file == "example.org.toml" for finding in findings)


@pytest.mark.parametrize(
    "good",
    [
        rule(when='path = ["/ns/web/sa/*", "/x"], evidence = ["jwt-svid"], door = ["token", "par"]'),
        rule(when="any_path = true", key="broad = true"),
        rule(when=X509, bind="x5t#S256"),
        rule(when=X509, bind=None),
        rule(bind="any"),
        rule(bind="jkt", more='replay = "once", lease = "24h", client = "instance"'),
        rule(more='token_ttl = "60m", client = { shared = "payments-batch" }'),
        rule(more='grant_types = ["client_credentials", "refresh_token"], refresh_ttl = "30d"'),
        rule(more='redirect_uris = ["https://{1}.a.example.org/{1}/cb", "http://127.0.0.1/cb", "com.example.app:/cb"]'),
        rule(more='redirect_uris = ["https://a.example/cb?shop=x", "https://a.example/cb?shop={1}"]'),
        rule(when='path = "/ns/web", grant_type = "client_credentials"'),
        rule(effect="ask"),
        rule(effect="deny", when=f'path = "/ns/*", scope = "ledger.read", resource = "{LEDGER}"'),
        rule(resources=BOTH, scopes='"ledger.read", "mail.send"'),
    ],
)
def test_everything_the_grammar_has_loads_without_a_finding(policies: Policies, good: str) -> None:
    policies.rules(good)
    assert policies.check() == ()


@pytest.mark.parametrize(
    ("file", "code", "bad", "good"),
    [
        ("metadata-documents.toml", "bind-impossible", {"bind": "x5t#S256"}, {"bind": "jkt"}),
        ("metadata-documents.toml", "client", {"more": 'client = { shared = "x" }'}, {"more": 'client = "identity"'}),
        ("metadata-documents.toml", "asserts", {"more": 'asserts = "jwks"'}, {}),
        ("metadata-documents.toml", "lease", {"more": 'lease = "1h"'}, {}),
        ("metadata-documents.toml", "door", {"when": 'url = "https://a.example/c", door = "register"'}, {}),
        ("metadata-documents.toml", "pattern", {"when": 'url = "http://a.example/c"'}, {}),
        ("metadata-documents.toml", "pattern", {"when": 'url = "https://a.example/c", spiffe_id = "/x"'}, {}),
        ("metadata-documents.toml", "broad", {"when": 'url = "https://*.com/c"'}, {}),
        ("metadata-documents.toml", "missing-url", {"when": 'door = "par"'}, {}),
        ("software-statements.toml", "issuer", {"when": 'issuer = "spiffe://example.org"'}, {}),
        ("software-statements.toml", "subject", {"when": 'issuer = "https://c.example", subject = "spiffe://a/b"'}, {}),
        ("software-statements.toml", "missing-issuer", {"when": 'subject = "x"'}, {}),
        ("software-statements.toml", "bind-impossible", {"bind": "x5t#S256"}, {"bind": "any"}),
        ("pushed.toml", "ask", {"effect": "ask"}, {"effect": "allow"}),
        ("pushed.toml", "grant-type", {"more": 'grant_types = "client_credentials"'}, {}),
        ("pushed.toml", "client", {"more": 'client = "instance"'}, {}),
        ("pushed.toml", "bind-impossible", {"bind": "x5t#S256"}, {}),
        ("pushed.toml", "unknown-key", {"when": 'path = "/x"'}, {}),
    ],
)
def test_each_source_has_its_own_limits(
    policies: Policies, file: str, code: str, bad: dict[str, str], good: dict[str, str]
) -> None:
    whom = {
        "metadata-documents.toml": 'url = "https://*.a.example/c"',
        "software-statements.toml": 'issuer = "https://ci.example"',
        "pushed.toml": "",
    }
    twin = {"when": whom[file], "bind": None, **good}
    policies.rules(rule(**twin), file)  # type: ignore[arg-type]
    assert policies.check() == ()
    policies.rules(rule(**{**twin, **bad}), file)  # type: ignore[arg-type]
    assert code in policies.codes()


@pytest.mark.parametrize(
    ("code", "name", "content"),
    [
        ("file-name", "example.com.toml", HEADERS["example.org.toml"] + GOOD),
        ("file-name", "documents.toml", HEADERS["metadata-documents.toml"]),
        ("source", "x.toml", 'version = 1\nsource = "spiff"\n'),
        ("source", "x.toml", "version = 1\n"),
        ("unknown-value", "pushed.toml", 'version = 2\nsource = "pushed"\n'),
        ("missing-version", "pushed.toml", 'source = "pushed"\n'),
        ("trust-domain", "Example.toml", 'version = 1\nsource = "spiffe"\ntrust_domain = "Example"\n'),
        ("missing-trust-domain", "x.toml", 'version = 1\nsource = "spiffe"\n'),
        ("missing-description", "catalogue.toml", CATALOGUE.replace('description = "Mail"\n', "")),
        ("duplicate-scope", "catalogue.toml", CATALOGUE.replace('"mail.read"', '"ledger.read"')),
        ("resource", "catalogue.toml", CATALOGUE.replace("https://mail", "http://mail")),
        ("resource", "catalogue.toml", CATALOGUE.replace("https://mail.example.org", "https://mail.example.org#x")),
        ("resource", "catalogue.toml", CATALOGUE.replace("https://mail.example.org", "mail")),
        ("scope", "catalogue.toml", CATALOGUE.replace('"mail.read"', '"mail read"')),
        ("pattern", "catalogue.toml", CATALOGUE.replace("spiffe://example.org/ns/ledger/**", "/ns/**")),
        ("unknown-key", "catalogue.toml", CATALOGUE.replace("description", "descripton")),
        ("empty-list", "catalogue.toml", 'version = 1\n[resources."https://a"]\ndescription = "a"\nscopes = {}\n'),
        ("syntax", "catalogue.toml", "version = "),
    ],
)
def test_a_fault_of_a_file_is_found_in_it(policies: Policies, code: str, name: str, content: str) -> None:
    policies.rules("")
    assert policies.check() == ()
    policies.write(name, content)
    assert (name, code) in {(finding.file, finding.code) for finding in policies.check()}


def test_loopback_resources_may_be_http(policies: Policies) -> None:
    policies.write("catalogue.toml", CATALOGUE.replace("https://mail.example.org", "http://127.0.0.1:8080"))
    assert policies.check() == ()


def test_a_trust_domain_too_long_for_a_file_name_may_have_any(policies: Policies) -> None:
    name = "a" * 201
    policies.write("long.toml", f'version = 1\nsource = "spiffe"\ntrust_domain = "{name}"\n' + rule())
    assert policies.check() == ()
    policies.write("longer.toml", f'version = 1\nsource = "spiffe"\ntrust_domain = "{name}"\n' + rule("s"))
    assert policies.codes() == {"trust-domain"}


def test_all_faults_are_told_at_once_each_with_its_line(policies: Policies) -> None:
    first = rule("first", scopes='"ledger.reed"')
    second = rule("second", when='path = "/x/*"', more='token_ttl = "2h"')
    third = '\n[[rule]]\nid = "third"\nwhy = """\n[[rule]]\n"""\neffect = "allow"\n[rule.when]\npath = "/y/**/z"\n'
    third += f'[rule.grant]\nresources = ["{LEDGER}"]\nscopes = ["ledger.read"]\n'
    policies.rules(first + second + third)
    text = (policies.path / "example.org.toml").read_text(encoding="utf-8").splitlines()
    found = {(finding.rule, finding.code): text[finding.line - 1] for finding in policies.check()}
    assert found.keys() == {
        ("first", "unknown-scope"),
        ("second", "ttl-above-bound"),
        ("third", "pattern"),
        ("third", "bind-missing"),
    }
    assert "ledger.reed" in found["first", "unknown-scope"]
    assert "2h" in found["second", "ttl-above-bound"]
    assert found["third", "pattern"] == 'path = "/y/**/z"'
    assert found["third", "bind-missing"] == "[rule.grant]"


def test_a_finding_names_file_line_and_rule_in_one_sentence(policies: Policies) -> None:
    policies.rules(rule(scopes='"ledger.reed"'))
    words = (
        "example.org.toml:11: rule r: the scope 'ledger.reed' is not in the catalogue: "
        "did you mean 'ledger.read'? [unknown-scope]"
    )
    assert [str(finding) for finding in policies.check()] == [words]


def test_a_missing_bind_explains_itself(policies: Policies) -> None:
    policies.rules(rule(bind=None))
    (finding,) = policies.check()
    for word in ("jwt-svid", "proves no key", "if-present", '"jkt"', 'evidence = ["x509-svid"]'):
        assert word in finding.message


# What people write by mistake, and what the message tells them to write.
SINGLE = GOOD.replace("[[rule]]", "[rule]")


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        (SINGLE, "wrong-type"),
        (SINGLE + rule("s").replace("[[rule]]", "[rule]"), "syntax"),
        (GOOD + rule("s").replace("[[rule]]", "[rule]"), "syntax"),
        (SINGLE + rule("s"), "syntax"),
    ],
)
def test_single_brackets_are_told_what_to_be(policies: Policies, rules: str, code: str) -> None:
    policies.rules(GOOD + rule("s", when='path = "/x"'))
    assert policies.check() == ()
    policies.rules(rules)
    (finding,) = policies.check()
    assert (finding.code, "write [[rule]], with double brackets, once per rule" in finding.message) == (code, True)
    lines = (policies.path / "example.org.toml").read_text(encoding="utf-8").splitlines()
    assert lines[finding.line - 1] == "[rule]"


def test_a_key_that_is_there_twice_is_no_matter_of_brackets(policies: Policies) -> None:
    policies.rules(GOOD.replace('why = "because"', 'why = "because"\nwhy = "again"'))
    (finding,) = policies.check()
    assert (finding.code, "brackets" in finding.message) == ("syntax", False)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("catalogue.toml", 'version = 1\n[[resources]]\ndescription = "x"\n'),
        ("catalogue.toml", CATALOGUE.replace('[resources."https://mail.example.org"]', '[[resources."https://m"]]')),
        ("example.org.toml", HEADERS["example.org.toml"] + GOOD.split("when")[0] + '[[rule.when]]\npath = "/x"\n'),
        ("example.org.toml", HEADERS["example.org.toml"] + GOOD.split("grant")[0] + '[[rule.grant]]\nscopes = "x"\n'),
    ],
)
def test_double_brackets_are_told_what_to_be(policies: Policies, name: str, content: str) -> None:
    policies.rules(GOOD)
    policies.write(name, content)
    (finding,) = policies.check()
    assert (finding.code, "single brackets" in finding.message) == ("wrong-type", True)


@pytest.mark.parametrize(
    ("file", "content", "meant"),
    [
        ("example.org.toml", HEADERS["example.org.toml"] + GOOD.replace("[[rule]]", "[[rules]]"), "rule"),
        ("example.org.toml", HEADERS["example.org.toml"] + GOOD.replace("why =", "wy ="), "why"),
        ("example.org.toml", HEADERS["example.org.toml"] + rule(when='paths = "/x"'), "path"),
        ("example.org.toml", HEADERS["example.org.toml"] + rule(more='token_tll = "5m"'), "token_ttl"),
        ("example.org.toml", HEADERS["example.org.toml"] + rule(scopes='"ledger.reed"'), "ledger.read"),
        ("example.org.toml", HEADERS["example.org.toml"] + rule(resources='"https://ledgr.example.org"'), LEDGER),
        (
            "example.org.toml",
            HEADERS["example.org.toml"] + rule(effect="deny", when='path = "/x", scope = "mail.sent"'),
            "mail.send",
        ),
        ("pushed.toml", 'version = 1\nsource = "pushd"\n', "pushed"),
        ("catalogue.toml", CATALOGUE.replace("introspect_by", "introspected_by"), "introspect_by"),
    ],
)
def test_a_name_that_is_nearly_one_that_exists_is_told_which(
    policies: Policies, file: str, content: str, meant: str
) -> None:
    policies.write(file, content)
    assert any(f"did you mean '{meant}'?" in finding.message for finding in policies.check())


def test_a_name_that_is_like_none_gets_no_suggestion(policies: Policies) -> None:
    policies.rules(rule(scopes='"zzz"') + rule("s", when='path = "/x", zzz = "x"'))
    assert policies.check()
    policies.rules(rule(scopes='"zzz"'))
    assert ["did you mean" in finding.message for finding in policies.check()] == [False]


def test_suggestions_end_before_they_cost_much(policies: Policies) -> None:
    policies.rules("".join(rule(f"r{n}", when=f'path = "/x/{n}"', scopes='"ledger.reed"') for n in range(30)))
    assert sum("did you mean" in finding.message for finding in policies.check()) == 20


def test_lines_are_looked_for_before_they_cost_much() -> None:
    """Each fault would walk over all lines before its own; beyond a bound it gets that of its rule (T-50)."""
    many = 30_000
    lines = Lines("[[rule]]\n" + "".join(f"key-{n} = 1\n" for n in range(many)) + "[[rule]]\nid = 1\n")
    assert lines.of(("rule", 0, f"key-{many - 1}")) == many + 1
    found = {lines.of(("rule", 0, f"key-{n}")) for n in range(many)}
    assert (1 in found, len(found) < many / 2) == (True, True)
    assert lines.of(("rule", 1, "id")) == many + 2


@pytest.mark.parametrize(
    ("file", "bad", "says"),
    [
        ("example.org.toml", rule(when='path = "/*/web"'), "'/*/web' has a wildcard as its first segment"),
        ("example.org.toml", rule(when='path = "/**"'), "'/**' has a wildcard as its first segment"),
        ("example.org.toml", rule(when="any_path = true"), "any_path reaches every workload of example.org"),
        (
            "metadata-documents.toml",
            rule(when='url = "https://*.com/c"', bind=None),
            "'https://*.com/c' has a wildcard among its two highest host labels",
        ),
    ],
)
def test_a_broad_pattern_is_told_how_far_it_reaches(policies: Policies, file: str, bad: str, says: str) -> None:
    policies.rules(bad, file)
    (finding,) = policies.check()
    assert finding.message == f"{says}; if that is meant, say broad = true"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("spiffe://example.org/ns/web", "leave out spiffe://example.org"),
        ("spiffe://other.org/ns/web", "this file is about example.org, not about other.org"),
        ("spiffe:///ns/web", "this file is about example.org, not about no trust domain"),
    ],
)
def test_a_whole_spiffe_id_as_path_is_told_what_to_leave_out(policies: Policies, path: str, says: str) -> None:
    policies.rules(rule(when='path = "/ns/web"'))
    assert policies.check() == ()
    policies.rules(rule(when=f'path = "{path}"'))
    (finding,) = policies.check()
    assert (finding.code, says in finding.message) == ("pattern", True)


# Files that lie beside the policies.
@pytest.mark.parametrize(
    ("stray", "found"),
    [
        ("extra.tml", True),
        ("example.net.TOML", True),
        ("example.net.toml.bak", True),
        ("team/example.net.toml", True),
        ("team/a/example.net.toml", True),
        ("README.md", False),
        ("schema.json", False),
        (".example.org.toml.swp", False),
        ("..2026_11_21/example.org.toml", False),
        ("team/notes.txt", False),
        ("tests/x.cases.toml", False),
    ],
)
def test_a_file_that_is_not_read_is_a_warning(policies: Policies, stray: str, found: bool) -> None:
    policies.rules(GOOD)
    (policies.path / stray).parent.mkdir(parents=True, exist_ok=True)
    policies.write(stray, "")
    told = [(finding.file, finding.code, finding.severity) for finding in policies.check()]
    assert told == ([(stray, "not-read", Severity.WARNING)] if found else [])
    assert policies.load().rules


def test_a_folder_of_strays_is_not_listed_without_end(policies: Policies) -> None:
    policies.rules(GOOD)
    for number in range(60):
        policies.write(f"stray-{number}.txt", "")
    assert len(policies.check()) == 50


# Across files.
def test_an_id_is_unique_over_all_files(policies: Policies) -> None:
    policies.rules(rule("one"))
    policies.rules(rule("two", when="", bind=None), "pushed.toml")
    assert policies.check() == ()
    policies.rules(rule("one", when="", bind=None), "pushed.toml")
    assert [(f.file, f.rule, f.code) for f in policies.check()] == [("pushed.toml", "one", "duplicate-id")]


def test_a_shared_client_belongs_to_one_file(policies: Policies) -> None:
    shared = 'client = { shared = "fleet" }'
    policies.rules(rule("one", more=shared) + rule("two", when='path = "/x"', more=shared))
    assert policies.check() == ()
    other = HEADERS["example.org.toml"].replace("example.org", "example.net") + rule("three", more=shared)
    policies.write("example.net.toml", other)
    assert policies.codes() == {"shared-id"}


# Warnings: the file loads, and `policy check` still says no.
SCOPED = 'path = "/ns/web/sa/*", scope = "ledger.read"'


@pytest.mark.parametrize(
    ("code", "bad", "good"),
    [
        ("fully-denied", rule() + rule("d", effect="deny"), rule() + rule("d", effect="deny", when='path = "/ns/x"')),
        (
            "fully-denied",
            rule() + rule("d", effect="deny", when=SCOPED),
            rule(scopes='"ledger.read", "ledger.write"') + rule("d", effect="deny", when=SCOPED),
        ),
        (
            "fully-denied",
            rule()
            + rule("d", effect="deny", when='path = "/ns/**", evidence = "jwt-svid"')
            + rule("e", effect="deny", when='path = "/ns/**", evidence = "x509-svid"'),
            rule() + rule("d", effect="deny", when='path = "/ns/**", evidence = "jwt-svid"'),
        ),
        (
            "fully-denied",
            rule() + rule("d", effect="deny", when='path = "/ns/**", grant_type = "client_credentials"'),
            rule() + rule("d", effect="deny", when='path = "/ns/**", grant_type = "refresh_token"'),
        ),
        ("unreachable", rule("a") + rule("b"), rule("a") + rule("b", when='path = "/ns/*/sa/api"')),
        (
            "unreachable",
            rule("a", effect="deny") + rule("b", effect="deny", when=SCOPED),
            rule("a", effect="deny") + rule("b", effect="deny", when='path = "/ns/web/**", scope = "ledger.read"'),
        ),
        ("unreachable", rule("a", effect="deny") + rule("b", effect="deny"), rule("a", effect="deny")),
        (
            "ineffective-subset",
            rule("wide", when='path = "/ns/**"', scopes='"ledger.read", "ledger.write"') + rule(),
            rule("wide", when='path = "/ns/x/**"', scopes='"ledger.read", "ledger.write"') + rule(),
        ),
        (
            "ineffective-subset",
            rule(
                "wide", when="any_path = true", key="broad = true", resources=BOTH, scopes='"ledger.read", "mail.send"'
            )
            + rule(),
            rule("wide", when="any_path = true", key="broad = true") + rule(more='token_ttl = "1m"'),
        ),
        (
            "idle-expiry",
            rule(more='grant_types = ["client_credentials", "refresh_token"], refresh_ttl = "31d"'),
            rule(more='grant_types = ["client_credentials", "refresh_token"], refresh_ttl = "30d"'),
        ),
        ("needless-broad", rule(key="broad = true"), rule()),
        ("resource-without-scope", rule(resources=BOTH), rule(resources=BOTH, scopes='"ledger.read", "mail.send"')),
    ],
)
def test_a_warning_does_not_keep_the_file_from_loading(policies: Policies, code: str, bad: str, good: str) -> None:
    policies.load(good)
    assert policies.check() == ()
    policies.load(bad)
    (finding,) = policies.check()
    assert (finding.code, finding.severity) == (code, Severity.WARNING)


def test_the_configuration_s_bounds_hold(policies: Policies) -> None:
    policies.rules(rule(more='token_ttl = "10m"'))
    assert policies.codes(PolicyDefaults(max_ttl=600)) == set()
    assert policies.codes(PolicyDefaults(max_ttl=599)) == {"ttl-above-bound"}
    assert policies.codes(PolicyDefaults(idle_expiry=599)) == {"idle-expiry"}
    assert policies.codes(PolicyDefaults(trust_domains=frozenset({"example.org"}))) == set()
    assert policies.codes(PolicyDefaults(trust_domains=frozenset({"example.net"}))) == {"unreachable"}


def test_a_rule_about_an_issuer_that_nobody_configured_is_named(policies: Policies) -> None:
    when = 'issuer = ["https://ci.example", "https://cd.example"], subject = "a"'
    policies.rules(rule(when=when, bind=None), "software-statements.toml")
    both = frozenset({"https://ci.example", "https://cd.example"})
    assert policies.check(PolicyDefaults(statement_issuers=both)) == ()
    assert policies.check(PolicyDefaults()) == ()
    (finding,) = policies.check(PolicyDefaults(statement_issuers=frozenset({"https://ci.example"})))
    assert (finding.code, finding.severity, finding.rule) == ("unreachable", Severity.WARNING, "r")
    assert "https://cd.example" in finding.message
