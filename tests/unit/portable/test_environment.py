"""What the caller's settings may say to pip and to other programs, and what not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import certificates, indexes, servers

from catalogue import paths
from network import registry, web
from portable import environment, errors, fetch

PIP = [sys.executable, "-m", "pip"]


@pytest.fixture(autouse=True)
def no_machine_wide_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PIP_FILE", Path("/nowhere/pip.conf"))


def pip(tmp_path: Path, *words: str, **variables: str) -> str:
    """What the real pip says in our environment, when the caller's holds these variables."""
    caller = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "XDG_CONFIG_DIRS": str(tmp_path), **variables}
    done = subprocess.run([*PIP, *words], env=environment.for_pip(caller), text=True, capture_output=True, check=True)
    return done.stdout


def write_conf(tmp_path: Path, text: str) -> None:
    (tmp_path / ".config/pip").mkdir(parents=True)
    (tmp_path / ".config/pip/pip.conf").write_text(text)


def test_of_pips_settings_only_those_of_the_way_count(tmp_path: Path) -> None:
    write_conf(
        tmp_path,
        "[global]\nuser = true\nindex-url = https://a.example.org/simple\ncert = /ca.pem\n"
        "find-links =\n  /opt/wheels\n  https://example.org/x\n[install]\nno-deps = true\nretries = 7\ntarget = /x\n",
    )
    said = pip(tmp_path, "config", "list", PIP_TIMEOUT="9", PIP_USER="1", PIP_REQUIRE_VIRTUALENV="1", PIP_NO_INDEX="0")
    assert dict(re.findall(r"(?m)^:env:\.([a-z-]+)='(.*)'$", said)) == {
        "cert": "/ca.pem",
        "config-file": os.devnull,
        "disable-pip-version-check": "1",
        "find-links": "/opt/wheels https://example.org/x",
        "index-url": "https://a.example.org/simple",
        "no-index": "0",
        "retries": "7",
        "root-user-action": "ignore",
        "timeout": "9",
    }
    assert "global." not in said and "install." not in said


# Whatever pip knows, and may learn: each of these would make an installation fail, go elsewhere or not happen.
ODD = "USER TARGET PREFIX ROOT DRY_RUN NO_DEPS CONSTRAINT REQUIRE_VIRTUALENV ISOLATED PYTHON NO_BINARY SRC".split()


@pytest.mark.parametrize("where", ["variables", "file"])
def test_a_callers_other_settings_do_not_move_an_installation(tmp_path: Path, where: str) -> None:
    wheel = indexes.wheel(tmp_path, "small", "1")
    values = {
        name: "1" if name in ("USER", "DRY_RUN", "REQUIRE_VIRTUALENV", "ISOLATED") else "/nowhere" for name in ODD
    }
    variables = {f"PIP_{name}": value for name, value in values.items()} if where == "variables" else {}
    if where == "file":
        lines = [f"{name.lower().replace('_', '-')} = {value}" for name, value in values.items()]
        write_conf(tmp_path, "\n".join(["[global]", *lines, ""]))
    python = {"PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere", "PYTHONSAFEPATH": "1", "PYTHONUSERBASE": "/nowhere"}
    target = tmp_path / "here"
    words = ["install", "--quiet", "--no-index", "--no-deps", "--target", str(target), str(wheel)]
    pip(tmp_path, *words, **variables, **python)
    assert (target / "small.py").exists()


# --- Certificate authorities ------------------------------------------------------------------------------------------


def test_one_variable_is_enough_for_every_program() -> None:
    for name in environment.CA_VARIABLES:
        trusted = environment.trusting({name: "/dev/null"})
        assert {key for key in trusted if trusted[key] == "/dev/null"} >= {*environment.CA_VARIABLES} - {"PIP_CERT"}
    own = {"SSL_CERT_FILE": "/dev/null", "REQUESTS_CA_BUNDLE": "/dev/zero"}
    assert environment.trusting(own) == {**own, "CURL_CA_BUNDLE": "/dev/null"}
    assert environment.trusting({}) == {}
    assert environment.trusting({}, Path("/dev/null"))["SSL_CERT_FILE"] == "/dev/null"
    with pytest.raises(errors.UserError, match="PIP_CERT=/nowhere: no such file"):
        environment.trusting({"PIP_CERT": "/nowhere"})


@pytest.mark.parametrize("name", environment.CA_VARIABLES)
def test_every_client_trusts_what_any_variable_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, certificate = certificates.make(tmp_path)
    for variable in environment.CA_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(name, str(ca))
    monkeypatch.setattr(registry, "is_loopback", lambda host: False)  # which would do without TLS
    wheel = indexes.wheel(tmp_path, "small", "1")
    with servers.running(certificate) as server:
        index = indexes.offer(server, [wheel])
        server.routes["/page"] = servers.good(b"text")
        server.routes["/v2/a/tags/list?n=100"] = servers.good(b'{"tags": ["1"]}')
        assert fetch.Fetcher(mirrors=None).read(server.url("/page")) == b"text"
        assert web.Client().get(server.url("/page")) == b"text"
        assert registry.Registry(f"127.0.0.1:{server.port}").tags("a") == ["1"]
        pip(
            tmp_path,
            "download",
            "--quiet",
            "--dest",
            str(tmp_path / "got"),
            "--index-url",
            index,
            "small",
            **{name: str(ca)},
        )
        assert (tmp_path / "got" / wheel.name).exists()


def test_the_containers_are_told_by_the_same_variables() -> None:
    script = (paths.ROOT / "docker/build_scripts/lib/lib.sh").read_text(encoding="utf-8")
    for name in environment.CA_VARIABLES:
        assert f"{name}=/run/secrets/ca" in script


# --- Python's own -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["PYTHONSAFEPATH", "PYTHONHOME", "PYTHONPATH", "PYTHONPLATLIBDIR"])
@pytest.mark.parametrize("command", ["./build.sh --print", "./scripts/dev invoke list", "./scripts/dev python -c pass"])
def test_the_callers_python_variables_do_not_break_a_command(command: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "argparse.py").write_text("raise ImportError('this is not the one you are looking for')")
    env = {**os.environ, name: str(tmp_path)}
    done = subprocess.run(command.split(), cwd=paths.ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_invoke_that_somebody_else_has_started_hands_none_of_them_on() -> None:
    command = [sys.executable, "-m", "invoke", "list"]
    env = {**os.environ, "PYTHONSAFEPATH": "1"}
    done = subprocess.run(command, cwd=paths.ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_build_step_trusts_by_the_same_variables() -> None:
    text = (paths.DOCKER / "build_scripts" / "lib" / "lib.sh").read_text(encoding="utf-8")
    exported = set(re.findall(r"(\w+)=/run/secrets/ca\b", text))
    assert exported == {*environment.CA_VARIABLES, "GIT_SSL_CAINFO"}  # git, unlike our programs, reads no other
