"""The image's recipe, and what it installs: a wheel of exactly what it copies, tried out in an empty environment."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge import __version__
from bridge.lab.authority import Authority
from tests.docs.written import fault_of
from tests.live.processes import Program, free_ports
from tests.markdown import ROOT, blocks
from tests.packaging.containerfile import let_through, read

RECIPE = read(ROOT / "Containerfile")
BUILD, IMAGE = RECIPE.stages
IGNORED = ROOT / ".containerignore"
SOURCES = [source for each in BUILD.instructions for source in each.sources]
SECONDS = 120.0


# --- the recipe -----------------------------------------------------------------------------------


def test_what_is_built_and_what_is_left_stand_on_one_base_that_can_be_pinned() -> None:
    assert (BUILD.base, IMAGE.base, BUILD.name) == ("${BASE}", "${BASE}", "build")
    image, colon, tag = RECIPE.arguments["BASE"].partition(":")
    assert (image, colon) == ("python", ":")
    # A tag that says which Python, the one that everything here is tried with.
    assert tag.startswith(f"{sys.version_info.major}.{sys.version_info.minor}-slim") or sys.version_info[:2] != (3, 11)


def test_everything_that_is_copied_is_there_and_let_through() -> None:
    assert SOURCES
    for source in SOURCES:
        assert (ROOT / source).exists(), source
        assert let_through(IGNORED, source), source
    # And nothing else of the first level is: neither is it needed.
    taken = {name.name for name in ROOT.iterdir() if let_through(IGNORED, name.name)}
    assert taken == set(SOURCES)


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("bridge/app.py", True),
        ("bridge/console/templates/page.html", True),
        ("requirements.txt", True),
        ("bridge.toml", False),
        ("bridge.db", False),
        ("bridge.db-wal", False),
        ("secrets/seal.key", False),
        ("tls/server.key", False),
        (".git/config", False),
        (".venv/bin/python", False),
        ("policies/example.org.toml", False),
        ("tests/conftest.py", False),
        ("requirements-dev.txt", False),
        ("bridge/secrets/seal.key", False),
        ("bridge/tls/server.pem", False),
        ("bridge/bridge.db", False),
        ("bridge/bridge.db-wal", False),
        ("bridge/__pycache__/app.cpython-311.pyc", False),
    ],
)
def test_no_secret_and_no_store_reaches_the_build(path: str, given: bool) -> None:
    assert let_through(IGNORED, path) is given


def test_another_engine_goes_by_the_same_rules() -> None:
    assert (ROOT / ".dockerignore").read_bytes() == IGNORED.read_bytes()


def test_every_dependency_is_held_to_its_hash() -> None:
    installs = [part for each in BUILD.all("RUN") for part in each.text.split("&&") if " install " in part]
    assert len(installs) == 3
    for install in installs:
        assert "--require-hashes" in install or ("--no-deps" in install and "--no-index" in install), install
    for name in re.findall(r"-r (\S+)", " ".join(installs)):
        pinned = re.sub(r"\\\n\s*", " ", (ROOT / name).read_text(encoding="utf-8"))
        for line in (line for line in pinned.splitlines() if line and not line.lstrip().startswith("#")):
            assert re.fullmatch(r"\S+==\S+( ; .+?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*", line), (name, line[:60])


def test_what_builds_the_package_is_what_the_lock_says() -> None:
    """`make lock` writes it anew."""
    locked = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
    assert (ROOT / "requirements-build.txt").read_text(encoding="utf-8") in locked
    wanted = re.search(r"setuptools>=(\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = re.match(r"setuptools==(\d+)", (ROOT / "requirements-build.txt").read_text(encoding="utf-8"))
    assert wanted is not None
    assert found is not None
    assert int(found[1]) >= int(wanted[1])


def test_the_image_runs_without_rights_and_without_what_builds() -> None:
    number = IMAGE.one("USER").text
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", number)
    # Whatever needs root comes before, and nothing after it writes outside of the volume.
    after = IMAGE.instructions[IMAGE.instructions.index(IMAGE.one("USER")) :]
    assert {each.name for each in after} <= {"USER", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    (cleared,) = IMAGE.all("RUN")
    assert "site-packages/*" in cleared.text
    assert "/usr/local/bin/pip*" in cleared.text
    assert not [each for each in IMAGE.instructions if each.sources or each.name == "ADD"]
    (copied,) = IMAGE.all("COPY")
    assert copied.words == ["--from=build", "/opt/bridge", "/opt/bridge"]
    assert "--without-pip /opt/bridge" in BUILD.all("RUN")[0].text


def test_its_command_exists_and_it_ends_as_the_service_wants() -> None:
    entry, command = IMAGE.one("ENTRYPOINT").words, IMAGE.one("CMD").words
    assert entry == ["/opt/bridge/bin/bridge"]
    assert fault_of(" ".join(command)) is None
    assert (IMAGE.one("STOPSIGNAL").text, IMAGE.one("HEALTHCHECK").text) == ("SIGTERM", "NONE")


def test_the_store_is_on_the_volume() -> None:
    environment = IMAGE.environment()
    (volume,) = IMAGE.one("VOLUME").words
    assert environment["BRIDGE_STORE__URL"].startswith(f"sqlite:///{volume}/")
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    assert f"-m 0700 {volume}" in IMAGE.one("RUN").text


@pytest.mark.parametrize(
    ("text", "read_well"), [("FROM a AS b\nRUN x \\\n  y\n", True), ("RUN x\n", False), ("FROM a\nrun x\n", False)]
)
def test_the_reader_of_recipes_can_say_no(tmp_path: Path, text: str, read_well: bool) -> None:
    (tmp_path / "Containerfile").write_text(text)
    if read_well:
        (stage,) = read(tmp_path / "Containerfile").stages
        assert (stage.name, stage.one("RUN").text) == ("b", "x  y")
        return
    with pytest.raises(ValueError, match=r"FROM|instruction"):
        read(tmp_path / "Containerfile")


# --- what it installs -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Built:
    """The build's context, and the wheel that came of it."""

    context: Path
    wheel: Path

    def package(self) -> set[str]:
        """The files of the package in the context."""
        return {str(path.relative_to(self.context)) for path in (self.context / "bridge").rglob("*") if path.is_file()}


def fill(context: Path) -> None:
    """What the build stage has: the sources that it copies, as far as they are let through."""
    for source in SOURCES:
        found = [ROOT / source] if (ROOT / source).is_file() else sorted((ROOT / source).rglob("[!.]*"))
        for path in (path for path in found if path.is_file()):
            name = str(path.relative_to(ROOT))
            if let_through(IGNORED, name):
                (context / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, context / name)


def do(words: Sequence[str | Path], folder: Path) -> str:
    """Run a command that must succeed, with nothing of the tester's own environment; what it printed."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(folder)}
    done = subprocess.run(
        list(map(str, words)), cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Built as the Containerfile builds it."""
    command = next(part for each in BUILD.all("RUN") for part in each.text.split("&&") if " pip wheel " in part)
    words = command.split()
    assert words[:4] == ["python", "-m", "pip", "wheel"]
    context, into = tmp_path_factory.mktemp("src"), tmp_path_factory.mktemp("wheels")
    words[0], words[words.index("/wheels")] = sys.executable, str(into)
    fill(context)
    given = Built(context, into).package()
    do([*words, "-q"], context)
    (made,) = into.glob("*.whl")
    # Building leaves its traces elsewhere, or the next build would not be of the same.
    assert Built(context, made).package() == given
    return Built(context, made)


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as packed:
        names = {name for name in packed.namelist() if ".dist-info/" not in name}
        (licence,) = [name for name in packed.namelist() if name.endswith("/LICENSE")]
        assert packed.read(licence) == (ROOT / "LICENSE").read_bytes()
    assert {name.rpartition(".")[2] for name in names} >= {"py", "html", "css"}
    assert names == built.package()


def test_the_source_distribution_holds_what_builds_the_same(built: Built, tmp_path: Path) -> None:
    make = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
    do([sys.executable, "-c", make, tmp_path], built.context)
    (made,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(made) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert built.package() | {"pyproject.toml", "README.md", "LICENSE"} <= names
    assert not {name for name in names if name.startswith(("tests/", "secrets/", "tls/"))}


@pytest.fixture(scope="module")
def program(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bridge` in an environment that has the wheel, and beside it the dependencies of this one, without what is
    installed here for development."""
    home = tmp_path_factory.mktemp("env") / "opt"
    venv.EnvBuilder(symlinks=True, with_pip=False).create(home)
    into = ["--python", home / "bin" / "python", "install", "--no-deps", "--no-index"]
    do([sys.executable, "-m", "pip", "-q", *into, built.wheel], home)
    (packages,) = home.glob("lib/python3.*/site-packages")
    # A path in such a file is searched last, and files of that kind over there are not looked at: this checkout, which
    # is installed there, is not found.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin" / "bridge"


def asked(socket_file: Path) -> bytes:
    """The console's first page, by its socket."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(SECONDS)
        caller.connect(str(socket_file))
        caller.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: caller.recv(65536), b""))


def test_what_is_installed_runs_by_itself_and_has_all_it_reads(program: Path, tmp_path: Path) -> None:
    where = do([program.with_name("python"), "-c", "import bridge; print(bridge.__file__)"], tmp_path)
    assert Path(where.strip()).is_relative_to(program.parents[1])
    assert __version__ in do([program, "--version"], tmp_path)
    # Not tmp_path: a socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="image-") as folder:
        do([program, "init", "service"], Path(folder))
        service = Path(folder) / "service"
        (service / "bundles/example.org.json").write_bytes(Authority("example.org").bundle_json())
        do([program, "check"], service)
        do([program, "policy", "test"], service)
        config = service / "bridge.toml"
        text = config.read_text()
        for given, free in zip(("8443", "8444"), free_ports(2), strict=True):
            text = text.replace(f":{given}", f":{free}")
        config.write_text(text + '\n[console]\nlisten = "unix:console.sock"\n')
        running = Program("bridge serve", Path(folder) / "log")
        running.start([str(program), "serve"], directory=service, death_signal="TERM")
        try:
            running.ready_when(lambda: "\nready: " in "\n" + running.log.read_text(), seconds=SECONDS)
            page = asked(service / "console.sock")
            assert page.startswith(b"HTTP/1.1 200 ")
            assert b"</html>" in page
        finally:
            ended = running.stop(seconds=40)
        assert ended == 0, running.log.read_text()


# --- what the operations guide says of it -----------------------------------------------------------


def test_the_guides_example_for_kubernetes_fits_the_image() -> None:
    (block,) = [block for block in blocks(ROOT / "docs/operations.md") if block.language == "yaml"]
    user, group = IMAGE.one("USER").text.split(":")
    assert f"runAsUser: {user}, runAsGroup: {group}" in block.text
    mounted = dict(re.findall(r"name: (\w[\w-]*), mountPath: ([\w/]+)", block.text))
    assert mounted["store"] == IMAGE.one("VOLUME").words[0]
    assert f"{mounted['configuration']}/bridge.toml" == IMAGE.environment()["BRIDGE_CONFIG"]
    assert re.findall(r"containerPort: (\d+)", block.text) == IMAGE.one("EXPOSE").words
    # What has to be written while the root file system is not.
    assert {mounted["run"], mounted["tmp"]} == {"/run/bridge", "/tmp"}
    volumes = set(re.findall(r"^      - \{name: ([\w-]+), ", block.text, re.MULTILINE))
    assert set(re.findall(r"name: ([\w-]+), mountPath", block.text)) == volumes


def test_the_guide_gives_the_containers_account_by_its_number() -> None:
    user, group = IMAGE.one("USER").text.split(":")
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    assert f"--userns=keep-id:uid={user},gid={group}" in page
    assert f"uid={user},gid={group} --cap-drop" in page
