"""The law of imports: downward only, and every third-party package has its home."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

BRIDGE = Path(__file__).resolve().parent.parent / "bridge"

# What each package may import from the others. A package may always import from itself.
# Siblings never import each other: `app.py` passes one into another as a callable or a protocol.
L0 = {"model", "jose", "files", "metadata", "advice"}
L1 = {"policy", "verify", "spire", "store", "tokens", "observe", "fetch", "users"}
ALLOWED: dict[str, set[str]] = {
    "model": set(),
    "jose": {"model"},
    "files": {"model"},
    "metadata": {"model", "jose"},
    "advice": {"model"},
    **{package: set(L0) for package in L1},
    "registration": L0 | {"policy", "verify", "store", "observe"},
    "webhook": L0 | {"store", "fetch", "observe"},
    "doctor": L0 | {"policy", "verify", "store", "registration"},
    "grants": L0 | {"store", "tokens", "verify", "registration", "observe"},
    "web": L0 | {"observe", "registration", "grants", "tokens", "users"},
    # Beside `web`, and with its way of making pages and forms.
    "console": L0 | L1 | {"registration", "doctor", "grants", "web"},
    "serving": L0 | {"observe"},
    "config": set(L0),
    # The composition root, the commands and the lab stand above everything.
    "chores": {"model"},
    "measures": {"observe", "store", "registration"},
    "vitals": {"model", "observe", "store", "tokens"},
    "bundle_news": L0 | L1,
    "upkeep": L0 | L1 | {"registration", "bundle_news", "chores"},
    "ambient": set(),
    "policy_defaults": {"policy", "config"},
    "operator_faults": L0 | {"policy", "config"},
    "wiring": L0
    | L1
    | {"registration", "grants", "web", "config", "ambient", "opening", "wiring_flow", "wiring_pages", "wiring_fetch"},
    # Without what only answering requests needs: commands and the preparation of a start load it.
    "wiring_fetch": L0 | L1 | {"registration"},
    "wiring_flow": L0 | L1 | {"registration", "grants", "wiring_pages"},
    "wiring_pages": L0 | L1 | {"grants", "web", "config", "opening"},
    "wiring_bundles": L0 | L1 | {"config", "serving"},
    "wiring_tracing": {"config", "fetch", "model", "observe"},
    "wiring_console": L0
    | L1
    | {"registration", "web", "console", "config"}
    | {"ambient", "opening", "operator_faults", "wiring", "wiring_fetch", "wiring_pages"},
    "wiring_webhook": L0 | L1 | {"webhook", "chores", "config"},
    "own_certificate": L0 | L1 | {"config"},
    "opening": L0 | L1 | {"serving", "config", "ambient", "wiring_bundles", "wiring_fetch", "wiring_webhook"},
    "preparing": L0
    | L1
    | {"config", "ambient", "opening", "own_certificate", "policy_defaults"}
    | {"wiring_tracing", "wiring_webhook"},
    "app": L0
    | L1
    | {"registration", "grants", "web", "serving", "config", "bundle_news", "chores", "measures", "upkeep", "opening"}
    | {"policy_defaults"}
    | {"ambient", "console", "own_certificate", "vitals"}
    | {"wiring", "wiring_bundles", "wiring_console", "wiring_pages", "wiring_tracing", "wiring_webhook"},
    "lab": L0 | {"spire", "config"},
    "cli": L0
    | L1
    | {"registration", "doctor", "grants", "serving", "config", "lab"}
    | {"ambient", "opening", "operator_faults", "own_certificate", "policy_defaults", "preparing"}
    | {"wiring_bundles", "wiring_fetch", "wiring_pages"}
    | {"webhook", "wiring_tracing", "wiring_webhook"},
}

# Which packages may import which third-party distribution.
HOMES: dict[str, set[str]] = {
    # The lab's resource is an example to copy into other people's servers: it may need nothing of ours. To users it is
    # where authlib's errors come from.
    "joserfc": {"jose", "lab", "users"},
    "cryptography": {"jose", "verify", "spire", "store", "tokens", "lab", "cli", "serving", "doctor"},
    "pydantic": {"policy", "config"},
    "pydantic_core": {"policy"},
    "tomli": {"policy"},
    "flask": {"web", "console"},
    "werkzeug": {"web", "console"},
    "jinja2": {"web"},
    "authlib": {"users"},
    "h11": {"fetch"},
    "uvicorn": {"serving"},
    "uvloop": {"serving"},
    "httptools": {"serving"},
    "sqlite_utils": {"store"},
    "spiffe": {"spire", "lab"},
    "grpc": {"spire", "lab"},
    "google": {"spire", "lab"},
    "prometheus_client": {"observe"},
    # The extra `otel`: imported by one module, and only where traces are configured.
    "opentelemetry": {"observe"},
    "structlog": {"observe"},
    "click": {"cli"},
    "tabulate": {"cli"},
}


def _package(path: Path) -> str:
    return path.relative_to(BRIDGE).parts[0].removesuffix(".py")


def _imports(path: Path) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            assert node.module is not None
            if node.module == "bridge":
                found += [(node.lineno, f"bridge.{alias.name}") for alias in node.names]
            else:
                found.append((node.lineno, node.module))
    return found


def faults(path: Path, package: str, imports: list[tuple[int, str]]) -> list[str]:
    """What is wrong with these imports of one file of `package`."""
    wrong = []
    for line, module in imports:
        parts = module.split(".")
        if parts[0] == "bridge":
            target = parts[1] if len(parts) > 1 else "__version__"
            if target not in {package, "__version__"} and target not in ALLOWED.get(package, set()):
                wrong.append(f"{path}:{line}: {package} may not import bridge.{target}")
        elif parts[0] not in sys.stdlib_module_names and package not in HOMES.get(parts[0], set()):
            wrong.append(f"{path}:{line}: {parts[0]} has no home in {package}")
    return wrong


ROOT = {
    "ambient.py",
    "app.py",
    "bundle_news.py",
    "chores.py",
    "opening.py",
    "operator_faults.py",
    "own_certificate.py",
    "policy_defaults.py",
    "preparing.py",
    "upkeep.py",
    "vitals.py",
    "wiring.py",
    "wiring_bundles.py",
    "wiring_console.py",
    "wiring_fetch.py",
    "wiring_flow.py",
    "wiring_pages.py",
    "wiring_tracing.py",
    "wiring_webhook.py",
}
FILES = sorted(p for p in BRIDGE.rglob("*.py") if p.parent != BRIDGE or p.name in ROOT)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(BRIDGE)))
def test_imports_point_downward_and_third_parties_stay_at_home(path: Path) -> None:
    assert faults(path, _package(path), _imports(path)) == []


def test_every_package_has_a_place_in_the_layers() -> None:
    packages = {p.parent.name for p in BRIDGE.glob("*/__init__.py")}
    assert packages <= set(ALLOWED)


def test_every_package_says_what_it_owns() -> None:
    for init in BRIDGE.glob("*/__init__.py"):
        assert ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))), f"{init} has no docstring"


@pytest.mark.parametrize(
    ("package", "module", "allowed"),
    [
        ("registration", "bridge.policy.evaluate", True),
        ("policy", "bridge.registration.registrar", False),
        ("verify", "bridge.spire.book", False),
        ("verify", "bridge.fetch.fetcher", False),
        ("fetch", "bridge.metadata.uris", True),
        ("jose", "joserfc.jwt", True),
        ("web", "joserfc.jwt", False),
        ("model", "json", True),
        ("model", "pydantic", False),
    ],
)
def test_the_law_itself_can_say_no(package: str, module: str, allowed: bool) -> None:
    assert (faults(Path("x.py"), package, [(1, module)]) == []) is allowed
