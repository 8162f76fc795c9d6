"""TLS to the target is verified unless somebody says otherwise by name (field cases E2, E8, E11)."""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from airflow_provider_pacs.sandbox.wire.certificates import make_authority, make_certificate
from airflow_provider_pacs.sync.preflight.target import check_session
from airflow_provider_pacs.sync.runtime.errors import ConfigError, PacsError, RetryableError
from airflow_provider_pacs.sync.target.facts import SessionFacts
from airflow_provider_pacs.sync.target.postgres import session, tls
from airflow_provider_pacs.sync.target.postgres.errors import mapped_errors, scrub
from airflow_provider_pacs.sync.target.postgres.read import OpsReader
from tests.support.fake_postgres import fake_postgres

SECRET = "s3cr3t-of-the-target"
Opener = Callable[[dict[str, str]], object]
OPENERS: dict[str, Opener] = {
    "sync": lambda params: session.connect(params),
    "page": lambda params: OpsReader(params),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def certificates(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Server certificates: a good one, and one of each kind that must not be taken."""
    ca, other = make_authority(), make_authority("another CA")
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=60)
    made = {
        "good": make_certificate(ca),
        "other CA": make_certificate(other),
        "wrong name": make_certificate(ca, ["db.elsewhere.example"]),
        "expired": make_certificate(ca, days=30, valid_from=long_ago),
        "self-signed": make_certificate(None),
    }
    ca.write(folder, "ca")
    return {name: certificate.write(folder, name.replace(" ", "_")) for name, certificate in made.items()}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's own libpq settings; what a test sets is part of its case."""
    for name in (
        "PGSSLMODE",
        "PGSSLROOTCERT",
        "PGHOST",
        "PGHOSTADDR",
        "PGSERVICE",
        "PGSSLMINPROTOCOLVERSION",
    ):
        monkeypatch.delenv(name, raising=False)


def params(port: int, **more: str) -> dict[str, str]:
    return {"host": "127.0.0.1", "port": str(port), "user": "u", "password": SECRET, "dbname": "d"} | more


def opened(opener: Opener, stated: dict[str, str]) -> PacsError:
    """What comes of trying."""
    with pytest.raises(PacsError) as caught, mapped_errors():
        opener(stated)
    assert SECRET not in str(caught.value) + repr(caught.value.__cause__)
    return caught.value


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("kind", ["plain text", "other CA", "wrong name", "expired", "self-signed"])
@pytest.mark.parametrize("environment", ["", "disable", "prefer"])
def test_a_false_server_is_sent_no_password(
    kind: str,
    opener: str,
    environment: str,
    certificates: dict[str, tuple[Path, Path]],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Case E2: without `sslmode`, whatever the environment says, a server without TLS, of another CA, with a
    wrong name or expired is refused before the password goes out, and the refusal says what to do.
    """
    if environment:
        monkeypatch.setenv("PGSSLMODE", environment)
    with fake_postgres(certificates.get(kind)) as server:
        error = opened(OPENERS[opener], params(server.port, sslrootcert=str(folder / "ca.pem")))
        assert server.passwords == []
    assert isinstance(error, ConfigError)
    assert "sslrootcert" in error.remedy


@pytest.mark.parametrize("opener", OPENERS)
def test_the_right_server_is_sent_the_password(
    opener: str, certificates: dict[str, tuple[Path, Path]], folder: Path
) -> None:
    """The fake keeps what it is sent, so the tests above can fail."""
    with fake_postgres(certificates["good"]) as server:
        opened(OPENERS[opener], params(server.port, sslrootcert=str(folder / "ca.pem")))
        assert server.passwords == [SECRET.encode()]


def test_the_systems_authorities_are_asked_where_none_is_named(
    certificates: dict[str, tuple[Path, Path]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case E2: no `sslrootcert` means the system's, here a file that SSL_CERT_FILE names."""
    with fake_postgres(certificates["good"]) as server:
        assert isinstance(opened(OPENERS["sync"], params(server.port)), ConfigError)
        assert server.passwords == []
        monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
        opened(OPENERS["sync"], params(server.port))
        assert server.passwords == [SECRET.encode()]


COMPILER = shutil.which("gcc") or shutil.which("cc")


@pytest.mark.skipif(
    COMPILER is None, reason="no C compiler makes the library that must not be loaded: apt-get install gcc"
)
def test_no_extra_of_the_target_loads_a_library(
    certificates: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    """Case E3 at the target: `sslkey: /tmp/evil.so:x` names an OpenSSL engine, and libpq runs what is in the file.

    In a process of its own: the exploit is first shown to work without our refusal, so the test can fail.
    """
    source, library, ran = tmp_path / "evil.c", tmp_path / "evil.so", tmp_path / "ran"
    source.write_text(
        f'#include <stdio.h>\n__attribute__((constructor)) static void go(void) {{ fclose(fopen("{ran}", "w")); }}\n'
    )
    subprocess.run([str(COMPILER), "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    tried = (
        "import psycopg, sys\n"
        "from airflow_provider_pacs.sync.target.postgres import session\n"
        "params = dict(word.split('=', 1) for word in sys.argv[2:])\n"
        "try:\n    psycopg.connect(**params) if sys.argv[1] == 'libpq' else session.connect(params)\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    with fake_postgres(certificates["good"]) as server:
        stated = params(
            server.port, sslmode="require", sslcert=str(certificates["good"][0]), sslkey=f"{library}:x"
        )
        words = [f"{name}={value}" for name, value in stated.items()]

        def outcome(how: str) -> str:
            done = subprocess.run(
                [sys.executable, "-c", tried, how, *words],
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            )
            return done.stdout

        refused = outcome("ours")
        assert refused.startswith("ConfigError")
        assert str(library) not in refused
        assert not ran.exists()
        assert server.passwords == []
        outcome("libpq")
        assert ran.exists(), "this libpq loads no engines: the case can't be shown with it"


@pytest.mark.parametrize("key", ["/tmp/evil.so:x", "../../evil.so:x", "dynamic:x", "pkcs11:token"])
@pytest.mark.parametrize("opener", OPENERS)
def test_an_engine_is_refused_by_every_opener(opener: str, key: str) -> None:
    """Case E3 at the target: the runs, the page, and what Great Expectations is given."""
    with pytest.raises(ConfigError, match="engine"):
        OPENERS[opener](params(1, sslkey=key))
    with pytest.raises(ConfigError, match="engine"):
        session.sqlalchemy_url(params(1, sslkey=key))
    assert (
        session.connect_arguments(params(1, sslkey="/etc/pki/client.key"))["sslkey"] == "/etc/pki/client.key"
    )


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
def test_a_weaker_setting_works_by_name_and_is_told(mode: str) -> None:
    """Case E11 at the target: by explicit name only; it is a finding, and `strict` refuses it."""
    with fake_postgres() as server:
        stated = params(server.port, sslmode=mode)
        opened(OPENERS["sync"], stated)
        assert server.passwords == [SECRET.encode()]
    (weak,) = tls.weak_settings(stated)
    assert (weak.name, weak.value) == ("sslmode", mode)
    assert tls.refuse_weak(stated, "warn") == (weak,)
    with pytest.raises(ConfigError, match=rf"benton_wa.*strict.*sslmode={mode}"):
        tls.refuse_weak(stated, "strict", county="benton_wa")


@pytest.mark.parametrize(
    ("stated", "weak"),
    [
        ({"host": "db.example"}, []),
        ({"host": "db.example", "sslmode": "verify-full"}, []),
        ({"host": "db.example", "sslmode": "require"}, ["sslmode"]),
        ({"host": "db.example", "sslmode": "verify-ca"}, ["sslmode"]),
        ({"host": "/run/postgresql", "sslmode": "disable"}, []),
        ({"host": "/run/postgresql,db.example", "sslmode": "disable"}, ["sslmode"]),
        ({"host": "/run/postgresql", "hostaddr": "192.0.2.1", "sslmode": "disable"}, ["sslmode"]),
        ({"service": "platform", "sslmode": "prefer"}, ["sslmode"]),
        ({"host": "db.example", "ssl_min_protocol_version": "TLSv1"}, ["ssl_min_protocol_version"]),
        ({}, []),
    ],
)
def test_what_is_weak(stated: dict[str, str], weak: list[str]) -> None:
    assert [setting.name for setting in tls.weak_settings(stated)] == weak


@pytest.mark.parametrize(
    "stated",
    [{"dbname": "d"}, {"host": "/run/postgresql"}, {"host": "/run/postgresql", "sslmode": "disable"}],
)
@pytest.mark.parametrize(("variable", "value"), [("PGHOSTADDR", "192.0.2.1"), ("PGSERVICE", "platform")])
def test_an_address_or_a_service_from_the_environment_is_a_network(
    variable: str, value: str, stated: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case E2: libpq prefers PGHOSTADDR to a socket, and a service's file may name any host."""
    assert tls.is_local(stated)
    monkeypatch.setenv(variable, value)
    assert not tls.is_local(stated)
    assert tls.secured(stated)["sslmode"] == stated.get("sslmode", "verify-full")
    assert [weak.name for weak in tls.weak_settings(stated)] == (["sslmode"] if "sslmode" in stated else [])


def test_a_password_goes_to_no_address_that_the_environment_slips_in(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """Case E2, as it would happen: the target is a socket, PGHOSTADDR a server without TLS."""
    with fake_postgres() as server:
        monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
        opened(OPENERS["sync"], params(server.port) | {"host": str(folder)})
        assert server.passwords == []


def test_an_old_protocol_from_the_environment_is_weak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMINPROTOCOLVERSION", "TLSv1")
    assert [weak.name for weak in tls.weak_settings({"host": "db.example"})] == ["ssl_min_protocol_version"]
    stated = {"host": "db.example", "ssl_min_protocol_version": "TLSv1.2"}
    assert tls.weak_settings(stated) == ()


def test_a_host_from_the_environment_is_a_network_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example")
    assert tls.secured({"dbname": "d"})["sslmode"] == "verify-full"
    monkeypatch.setenv("PGHOST", "/run/postgresql")
    assert "sslmode" not in tls.secured({"dbname": "d"})


@pytest.mark.parametrize(("strict", "state"), [(False, "warn"), (True, "fail")])
def test_a_weaker_connection_is_a_finding(strict: bool, state: str) -> None:
    """Case E2: `check` has target.tls."""
    facts = SessionFacts("UTF8", "UTF8", False, False, ("sslmode=disable: nothing is encrypted",), False)
    findings = {finding.id: finding for finding in check_session(facts, strict=strict)}
    assert findings["target.tls"].state == state
    assert "sslmode=disable" in findings["target.tls"].text
    assert {findings["target.encoding"].state, findings["target.pooler"].state} == {"ok"}


def test_a_socket_and_verified_tls_are_fine() -> None:
    for local in (True, False):
        facts = SessionFacts("UTF8", "UTF8", local, not local, (), True)
        assert {finding.state for finding in check_session(facts, strict=True)} == {"ok"}


@pytest.mark.parametrize(
    "password",
    ["p/ss-w0rd", "p@ss-w0rd", "12?ss-w0rd", "a@b/ss-w0rd?x", "ss-w0rd@", "/ss-w0rd", "1/ss-w0rd?@"],
)
def test_a_password_in_a_url_is_never_said(password: str) -> None:
    """Case E8: whatever is unencoded in it, the URL is refused without a piece of it, and nothing is looked up
    in the network's DNS.
    """
    with pytest.raises(ConfigError) as caught:
        session.params_from_url(f"postgresql://u:{password}@db.invalid/d?sslmode=disable")
    said = f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
    assert "w0rd" not in said
    assert "%2F" in caught.value.remedy


def test_an_encoded_password_arrives_whole() -> None:
    stated = session.params_from_url(
        "postgresql://u%40x:p%2F%40%3F@h1:5432,h2:5433/d?target_session_attrs=any"
    )
    assert (stated["user"], stated["password"], stated["host"]) == ("u@x", "p/@?", "h1,h2")
    assert session.params_from_url("postgresql:///d?host=/run/pg&user=me")["host"] == "/run/pg"
    assert session.params_from_url("host=/run/pg dbname=d")["dbname"] == "d"


@pytest.mark.parametrize(
    "text",
    [
        "failed to resolve host 'w0rd@db.invalid': Name or service not known",
        'could not translate host name "x@w0rd@db" to address',
        "cannot connect to postgresql://u:p/w0rd@w0rd@db/d",
        "cannot connect to postgresql://u:w0rd w0rd@db/d now",
        "connection failed password='w0rd w0rd' host=h",
    ],
)
def test_libpqs_own_words_are_masked(text: str) -> None:
    """Case E8: for addresses that reach libpq in other forms than a URL."""
    assert "w0rd" not in scrub(text, names=True)


@pytest.mark.parametrize(
    "text",
    [
        "sorry, too many clients already",
        "remaining connection slots are reserved for roles with the SUPERUSER attribute",
        'too many connections for role "tf_pacs_sync"',
        "no more connections allowed (max_client_conn)",
    ],
)
def test_a_full_target_is_tried_again(text: str) -> None:
    """Case E12: all slots taken is retryable, and says slots; also where a pooler is full."""
    with fake_postgres(refuses=text) as server:
        error = opened(OPENERS["sync"], params(server.port, sslmode="disable"))
    assert isinstance(error, RetryableError)
    assert "slots" in error.remedy
    with pytest.raises(RetryableError, match="slots"), mapped_errors():
        raise psycopg.errors.TooManyConnections(text)
