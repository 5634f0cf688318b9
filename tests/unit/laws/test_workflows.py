"""The workflows call what there is: tasks, sessions, options, scripts, inputs; and keep to least privilege."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import noxfile
import pytest
import yaml
from tests.support.command_lines import build_options, invoke_options, wrong_invocations
from tests.support.repositories import git, repository

from catalogue import images, paths
from update import sightings

GITHUB = paths.ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
CATALOGUE = images.load(overlay=images.NO_OVERLAY)


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def triggers(path: Path) -> dict[str, Any]:
    """What starts a workflow; YAML 1.1 reads the key `on` as true."""
    found: dict[str, Any] = read(path)[True]  # type: ignore[index]
    return found


def steps(path: Path) -> Iterator[dict[str, Any]]:
    content = read(path)
    for job in content["jobs"].values() if "jobs" in content else [content["runs"]]:
        yield from job.get("steps", [])


EVERY = [*WORKFLOWS, *sorted(GITHUB.glob("actions/*/action.yml"))]
COMMANDS = [
    (path.parent.name + "/" + path.name, line.strip())
    for path in EVERY
    for step in steps(path)
    for line in str(step.get("run", "")).splitlines()
]


# --- The matrix -----------------------------------------------------------------------------------------------------


def answer(verb: str) -> Any:
    """What a job gets from `python3 scripts VERB`."""
    done = subprocess.run([sys.executable, "scripts", verb], cwd=paths.ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_matrix_has_every_published_image_once() -> None:
    rows = answer("matrix")["include"]
    wanted = {image.name: image for image in CATALOGUE.images(variants=True)}
    assert [row["image"] for row in rows] == list(wanted)
    for row in rows:
        image = wanted[row["image"]]
        assert (row["policy"], row["platform"], row["variant"]) == (
            image.policy.name,
            image.platform.name,
            image.variant,
        )
        arm = image.platform.name in ("aarch64", "armv7l")
        assert row["runner"] == ("ubuntu-24.04-arm" if arm else "ubuntu-24.04")
        assert row["qemu"] is (image.platform.name not in ("x86_64", "i686", "aarch64", "armv7l"))
        assert row["goarch"] == image.platform.go


def test_every_image_of_the_matrix_is_in_one_group() -> None:
    members = [image.name for name in answer("groups") for image in CATALOGUE.group(name).members]
    assert sorted(members) == sorted(row["image"] for row in answer("matrix")["include"])


def test_the_build_workflow_reads_the_matrix_and_no_key_that_it_lacks() -> None:
    path = GITHUB / "workflows" / "build.yml"
    text = path.read_text(encoding="utf-8")
    keys = set(answer("matrix")["include"][0]) | {"group"}
    assert set(re.findall(r"matrix\.(\w+)", text)) <= keys
    assert not [image.name for image in CATALOGUE.all_images if image.name in text]
    assert text.count("fromJSON(needs.table.outputs.images)") == 2
    assert "matrix)" in text and "groups)" in text


# --- Commands -------------------------------------------------------------------------------------------------------


def test_every_invoke_command_is_understood() -> None:
    text = "\n".join(line for _, line in COMMANDS)
    assert list(wrong_invocations(re.sub(r'"\$\w+"', "x", re.sub(r'"\$\{\w+\[[@*]\]\}"', "", text)))) == []
    assert set(re.findall(r"\binvoke (\w+)", text)) == {
        "build",
        "canary",
        "exchange",
        "gate",
        "manifest",
        "notes",
        "prune",
        "push",
        "site",
        "usable",
        "verify",
        "vulnerabilities",
    }


def test_options_that_stand_in_an_array_are_understood() -> None:
    arrays = {"options": invoke_options("prune")[0], "handed": invoke_options("manifest")[0], "cache": build_options()}
    flags = [(name, flag) for _, line in COMMANDS for name, flag in re.findall(r"(\w+)\+?=\((--[\w-]+)", line)]
    assert len(flags) >= 4
    assert [(name, flag) for name, flag in flags if flag not in arrays[name]] == []


def test_every_nox_session_and_script_exists() -> None:
    sessions = {name for name, value in vars(noxfile).items() if hasattr(value, "tags")}
    assert sessions >= {"lint", "tests", "check_links"}
    called = set()
    for where, line in COMMANDS:
        if match := re.search(r"\bnox (?:-s|--sessions) ((?:\w+ ?)+)", line):
            called |= set(match[1].split())
        for script, verb in re.findall(r"python3 (\S+) (\w+)", line):
            assert (paths.ROOT / script / "__main__.py").is_file(), where
            assert subprocess.run([sys.executable, script, verb], cwd=paths.ROOT, capture_output=True).returncode == 0
    assert called <= sessions
    assert {"lint", "tests", "check_links"} <= called


def test_every_update_session_runs_and_remembers() -> None:
    text = (GITHUB / "workflows" / "update-dependencies.yml").read_text(encoding="utf-8")
    assert "nox --tags update --list --json" in text
    done = subprocess.run(
        ["nox", "--tags", "update", "--list", "--json"], cwd=paths.ROOT, capture_output=True, text=True, check=True
    )
    listed = {row["session"] for row in json.loads(done.stdout)}
    assert listed == {name for name, session in vars(noxfile).items() if "update" in getattr(session, "tags", ())}
    state = re.search(rf"{sightings.SEEN_VARIABLE}: (.+)", text)
    assert state
    assert text.count(f"path: {state[1]}\n") == 3  # restored, saved, and kept alive on Thursdays
    crons = set(re.findall(r'cron: "([^"]+)"', text))
    assert set(re.findall(r"github\.event\.schedule .= '([^']+)'", text)) < crons


# --- Failures -------------------------------------------------------------------------------------------------------


def test_a_failure_within_a_script_ends_it() -> None:
    """`shell: bash` is GitHub's word for -eo pipefail; a substitution fails a command only as an assignment."""
    swallowing = re.compile(r"for \w+ in .*\$\(|^(?:echo|printf|export|local|declare|readonly)\b.*\$\(|<\(|<<< *.*\$\(")
    for path in EVERY:
        if any("run" in step for step in steps(path)):
            default = read(path).get("defaults", {}).get("run", {}).get("shell")
            assert all(step.get("shell", default) == "bash" for step in steps(path) if "run" in step), path.name
    assert [(where, line) for where, line in COMMANDS if swallowing.search(line)] == []


def as_github_does(tmp_path: Path, path: Path, name: str, **programs: str) -> tuple[int, str]:
    """Runs a step with stand-ins for ./scripts/dev and programs on PATH; returns its status and outputs."""
    (step,) = [step for step in steps(path) if step.get("name") == name]
    script, output = tmp_path / "step.sh", tmp_path / "output"
    script.write_text(step["run"], encoding="utf-8")
    output.write_text("", encoding="utf-8")
    root = repository(tmp_path / "checkout")
    for program, body in programs.items():
        file = root / "scripts" / "dev" if program == "dev" else tmp_path / "bin" / program
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
        file.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "GITHUB_OUTPUT": str(output),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "step-summary"),
        "GITHUB_SHA": git(root, "rev-parse", "HEAD"),
        "SUMMARY": str(tmp_path / "summary"),
    }
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
        cwd=root,
        env=environment,
        capture_output=True,
        check=False,
    )
    return done.returncode, output.read_text(encoding="utf-8")


SESSIONS = 'if [[ "$*" == *--list* ]]; then {list}; else {run}; fi'
# What the workflow has from jq: the sessions of a JSON list of objects, or failure where there are none.
JQ = """python3 -c 'import json, sys
rows = json.load(sys.stdin)
print(*(row["session"] for row in rows))
sys.exit(not rows)'"""


@pytest.mark.parametrize(
    ("listed", "status"),
    [
        ("exit 3", 3),
        ("echo '[]'", 1),
        ("echo broken", 1),
        ("""echo '[{"session": "update_a"}, {"session": "update_b"}]'""", 0),
    ],
)
def test_updates_without_a_list_of_sessions_fail(tmp_path: Path, listed: str, status: int) -> None:
    """Otherwise the job would be green and the open pull request, without a commit, closed."""
    path = GITHUB / "workflows" / "update-dependencies.yml"
    dev = SESSIONS.format(list=listed, run='[[ "$*" != *update_b ]] || exit 1; git commit -q --allow-empty -m x')
    name = "Every update, whatever the others do"
    found, output = as_github_does(tmp_path, path, name, dev=dev, jq=JQ)
    assert found == status
    assert output == ("failed=update_b\ncommits=1\n" if status == 0 else "")
    (opens,) = [step for step in steps(path) if "create-pull-request" in step.get("uses", "")]
    assert opens["if"] == "steps.sessions.outputs.commits != '0' || !steps.sessions.outputs.failed"


def test_a_table_that_cannot_be_read_fails_the_job(tmp_path: Path) -> None:
    path = GITHUB / "workflows" / "build.yml"
    name = "Turn the table into matrices"
    assert as_github_does(tmp_path, path, name, python3='[[ "$*" != *groups ]] && echo "[]"') == (1, "")


# --- Privileges -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_or_are_our_own(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    used = re.findall(r"(?m)^ +(?:- )?uses: (.+)", text)
    for use in used:
        if use.startswith("$/.github/workflows/"):
            assert "workflow_call" in triggers(paths.ROOT / use.removeprefix("$/"))
        elif use.startswith("$/"):
            action = paths.ROOT / use.removeprefix("$/") / "action.yml"
            assert action.is_file()
            given = [set(step["with"]) for step in steps(path) if step.get("uses") == use]
            inputs = read(action)["inputs"]
            required = {name for name, row in inputs.items() if row.get("required")}
            assert all(required <= names <= set(inputs) for names in given)
        else:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use), use


def test_an_action_has_one_version() -> None:
    used: dict[str, set[str]] = {}
    for path in EVERY:
        for use in re.findall(r"uses: (\S+@\S+)", path.read_text(encoding="utf-8")):
            name, _, commit = use.partition("@")
            used.setdefault("/".join(name.split("/")[:2]), set()).add(commit)
    assert all(len(commits) == 1 for commits in used.values()), used


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_nobody_may_more_than_needed(path: Path) -> None:
    content = read(path)
    assert content["permissions"] == {}
    for name, job in content["jobs"].items():
        assert "permissions" in job, f"{path.name}: {name}"
        assert "timeout-minutes" in job or "uses" in job, f"{path.name}: {name}"  # a called workflow has its own
        granted = {key for key, value in job["permissions"].items() if value == "write"}
        deploys = "deploy-pages" in json.dumps(job) or job.get("uses") == "$/.github/workflows/site.yml"
        signs = {"id-token"} if re.search("invoke (push|manifest)", json.dumps(job)) else set()
        reports = {"issues"} if "gh issue create" in json.dumps(job) else set()
        allowed = {"contents"} if name == "release" else {"packages"} | signs
        assert granted <= ({"pages", "id-token"} if deploys else reports or allowed), f"{path.name}: {name}"
        if "secrets." in json.dumps(job):
            assert "environment" in job, f"{path.name}: {name} uses secrets that no environment guards"


def test_pull_requests_reach_no_secret() -> None:
    started = [path for path in WORKFLOWS if "pull_request" in triggers(path)]
    assert {path.stem for path in started} == {"build", "checks"}
    assert not [path for path in WORKFLOWS if "pull_request_target" in triggers(path)]
    for path in started:
        for name, job in read(path)["jobs"].items():
            text = json.dumps(job)
            if "secrets." in text or "github.token" in text or "write" in job["permissions"].values():
                assert "github.ref == 'refs/heads/main'" in job["if"], f"{path.name}: {name}"


def test_what_is_published_is_what_was_handed_over() -> None:
    """The digest that push prints goes from job to job outside the tree, which must be clean, and never by a tag."""
    jobs = read(GITHUB / "workflows" / "build.yml")["jobs"]

    def step(job: str, text: str) -> dict[str, Any]:
        (found,) = [each for each in jobs[job]["steps"] if text in json.dumps(each)]
        return dict(found)

    given, taken = step("candidate", "actions/upload-artifact@"), step("publish", "candidate-*")
    assert '> "$RUNNER_TEMP/$IMAGE"' in step("candidate", "invoke push")["run"]
    assert given["with"]["path"] == "${{ runner.temp }}/${{ matrix.image }}"
    assert given["with"]["if-no-files-found"] == "error"
    assert given["with"]["name"] == taken["with"]["pattern"].replace("*", "${{ matrix.image }}")
    assert taken["with"]["path"] == "${{ runner.temp }}/candidates"
    run = step("publish", "invoke manifest")["run"]
    assert 'candidates="$RUNNER_TEMP/candidates"' in run and '--candidates "$candidates"' in run


def test_canaries_are_built_in_what_was_pushed_and_hold_publication_back() -> None:
    jobs = read(GITHUB / "workflows" / "build.yml")["jobs"]
    canary, publish = jobs["canary"], jobs["publish"]
    assert "secrets." not in json.dumps(canary) and canary["permissions"] == {"contents": "read"}  # others' code runs
    assert "candidate" in canary["needs"] and "canary" in publish["needs"]
    given = next(step for step in canary["steps"] if "upload-artifact" in step.get("uses", ""))
    assert given["if"] == "${{ !cancelled() }}"  # also what failed is handed over
    taken = next(step for step in publish["steps"] if "canaries-*" in json.dumps(step))
    assert given["with"]["name"] == taken["with"]["pattern"].replace("*", "${{ matrix.image }}")
    assert given["with"]["path"] == taken["with"]["path"] == "${{ runner.temp }}/canaries"
    (run,) = [step["run"] for step in publish["steps"] if "invoke manifest" in step.get("run", "")]
    assert 'canaries="$RUNNER_TEMP/canaries"' in run and '--canaries "$canaries"' in run


def test_secrets_are_given_to_single_steps() -> None:
    for path in EVERY:
        content = read(path)
        for job in content.get("jobs", {}).values():
            assert "secrets." not in json.dumps(job.get("env", {}))
        assert "secrets." not in json.dumps(content.get("env", {}))


def test_dependabot_moves_the_actions_after_a_while() -> None:
    (row,) = read(GITHUB / "dependabot.yml")["updates"]
    assert row["package-ecosystem"] == "github-actions"
    assert row["cooldown"]["default-days"] >= 7
    assert "/" in row["directories"], "for the workflows"
    actions = {path for pattern in row["directories"] if pattern != "/" for path in paths.ROOT.glob(pattern[1:])}
    assert actions == {path.parent for path in GITHUB.glob("actions/*/action.yml")}
