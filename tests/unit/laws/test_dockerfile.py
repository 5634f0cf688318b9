"""Laws of docker/Dockerfile: its stages and switches, what it copies, what engines it is for."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from catalogue import images, pins
from catalogue.interpreters import Interpreter
from plan.plan import Request, decide

DOCKER = pins.DOCKERFILE.parent
TEXT = pins.DOCKERFILE.read_text(encoding="utf-8")
CATALOGUE = images.load()
CPYTHONS = [i for i in CATALOGUE.interpreters.values() if i.implementation == "cpython" and i.preinstalled]
SHARED = CATALOGUE.image("manylinux_2_36_x86_64-shared").shared
PINS = pins.read()


def stages() -> Iterator[tuple[str, str, str]]:
    """(name, what it is built from, its text) of every stage."""
    for part in re.split(r"(?m)^(?=FROM )", TEXT)[1:]:
        match = re.match(r"FROM (?:--platform=\S+ )?(\S+) AS (\S+)", part)
        assert match, f"a stage without a name: {part.splitlines()[0]}"
        yield match[2], match[1], part


STAGES = {name: (source, text) for name, source, text in stages()}
CONTEXT = {"PLATFORM", "FAMILY", "LIBC", "DISTRIBUTION", "TOOLSET", "PACKAGE_SETS"}


def declared(text: str, instruction: str = "ARG") -> set[str]:
    """The names that the ARGs of a stage declare, or its ENVs."""
    lines = re.findall(rf"(?m)^{instruction} ((?:[^\n\\]|\\\n)+)$", text)
    return {word.partition("=")[0] for line in lines for word in line.replace("\\\n", " ").split()}


def line_of(stage: str) -> list[str]:
    """A stage and those that it is built on, up to one that an ARG chooses."""
    return [stage, *line_of(STAGES[stage][0])] if stage in STAGES else []


def test_every_interpreter_and_tool_has_its_stage_switch_and_layer() -> None:
    final = STAGES["image"][1]
    names = {i.tag: f"interpreter-{i.tag}" for i in CATALOGUE.interpreters.values() if i.preinstalled}
    names |= {tool: f"tool-{tool}" for tool in CATALOGUE.tools}
    components = {c for policy in CATALOGUE.policies.values() for c in policy.build}
    names |= {component: f"component-{component}" for component in components}
    for name, stage in names.items():
        switch = f"{pins.env_prefix(name)}_STAGE"
        assert stage in STAGES
        assert STAGES[name][0] == f"${{{switch}}}"
        assert re.search(rf"(?m)^ARG {switch}=({stage}|empty)$", TEXT)
        assert final.count(f"COPY --from={name} /rootfs /\n") == 1
    switches = [name for name in pins.switches() if not name.startswith("CLANG_")]
    stand_ins = {pins.env_prefix(name.removeprefix("reused-")) for name in STAGES if name.startswith("reused-")}
    assert {name.removesuffix("_STAGE") for name in switches} == stand_ins


@pytest.mark.parametrize("interpreter", CPYTHONS)
def test_a_pin_is_seen_by_its_own_stages_alone(interpreter: Interpreter) -> None:
    arguments = {f"{pins.env_prefix(interpreter.pin)}_{field}" for field in ("VERSION", "SHA256", "URL")}
    seen = {name for name, (_, text) in STAGES.items() if arguments & declared(text)}
    sharing = {f"interpreter-{i.tag}" for i in CATALOGUE.interpreters.values() if i.pin == interpreter.pin}
    sharing |= {f"interpreter-{i.name}" for i in SHARED if i.pin == interpreter.pin}
    assert seen == sharing
    assert all(arguments <= declared(STAGES[name][1]) for name in seen)


@pytest.mark.parametrize("pin", sorted(p for p in PINS if not p.startswith("cpython-") and p != "static-clang"))
def test_a_pin_of_a_component_is_seen_by_one_stage(pin: str) -> None:
    """And whole: lib.sh reads three fields by the pin's name. The shared variant compiles OpenSSL a second time."""
    arguments = {f"{pins.env_prefix(pin)}_{field}" for field in ("VERSION", "SHA256", "URL")}
    seen = [name for name, (_, text) in STAGES.items() if arguments & declared(text)]
    stage = "component-tcltk" if pin in ("tcl", "tk") else f"component-{pin}"
    assert seen == ([stage, "build-shared-openssl"] if pin == "openssl" else [stage])
    assert all(arguments <= declared(STAGES[name][1]) for name in seen)


def test_the_shared_variant_adds_layers_to_the_image() -> None:
    """What it is made of nothing else uses, so that the image itself stays what it is; no part of it sees clang."""
    source, text = STAGES["shared"]
    assert source == "image"
    assert re.findall(r"(?m)^COPY --from=(\S+) /rootfs /$", text) == ["shared-openssl", *(i.name for i in SHARED)]
    for interpreter in SHARED:
        stage = f"interpreter-{interpreter.name}"
        assert STAGES[interpreter.name][0] == f"${{{pins.env_prefix(interpreter.name)}_STAGE}}"
        assert STAGES[stage][0] == "shared-interpreter-base"
        assert f"{pins.env_prefix(interpreter.name)}_OPTIMISED" in declared(STAGES[stage][1])
    own = {name for name in STAGES if "shared" in name}
    assert [name for name in own - {"shared"} if "--from=clang" in "".join(STAGES[s][1] for s in line_of(name))] == []
    users = {name for name, (start, text) in STAGES.items() if any(f"={s} " in text or start == s for s in own)}
    assert users <= own


def test_the_system_can_be_updated_below_what_was_compiled() -> None:
    assert STAGES["image"][0] == "${IMAGE_SYSTEM}"
    assert "\nARG IMAGE_SYSTEM=base-system\n" in TEXT
    source, text = STAGES["updated-system"]
    assert source == "base-system"
    for name in ("update-system", "configure-system", "clean-system"):
        assert f"/manylinux/build_scripts/{name}.sh && " in text
        assert f"/manylinux/build_scripts/{name}.sh && " in STAGES["base-system"][1]
    assert [name for name, (start, _) in STAGES.items() if start == "updated-system"] == []
    assert [name for name, (_, other) in STAGES.items() if "SYSTEM_UPDATED" in other] == ["updated-system"]


def test_what_the_mirror_lacks_is_part_of_the_caches_key() -> None:
    """Where what is shipped is installed."""
    knowing = {name for name, (_, text) in STAGES.items() if "MISSING_POCKETS" in declared(text)}
    assert knowing == {"base-system", "updated-system"}


def test_what_is_compiled_may_be_compiled_by_clang() -> None:
    """By a copy: podman does not look into what is mounted when it decides whether its cache holds a RUN."""
    cpythons = {f"interpreter-{i.tag}" for i in CPYTHONS}
    components = {name for name in STAGES if name.startswith("component-")} - {"component-git-lfs"}  # not compiled
    assert {STAGES[name][0] for name in components} == {"compile-base"}
    assert {STAGES[name][0] for name in cpythons} == {"cpython-base"}
    for base, clang in (("compile-base", "clang"), ("cpython-base", "clang-for-cpython")):
        assert f"\nCOPY --from={clang} /opt/clang /opt/clang\n" in STAGES[base][1]
        assert STAGES[clang][0] == f"${{{pins.env_prefix(clang)}_STAGE}}"
        assert f"\nARG {pins.env_prefix(clang)}_STAGE=empty\n" in TEXT
    assert "build-base" in line_of("compile-base") and "build-base" in line_of("cpython-base")


def test_native_builds_see_no_clang() -> None:
    clang = {"STATIC_CLANG_VERSION", "STATIC_CLANG_IMAGE", "CLANG_PLATFORM", "CLANG_STAGE", "CLANG_FOR_CPYTHON_STAGE"}
    assert [name for name, (_, text) in STAGES.items() if clang & declared(text)] == []


def test_what_stages_know_of_the_image_stays_with_them() -> None:
    """It is in the environment of what is built, so that no stage above repeats it, and not in that of the image."""
    assert declared(STAGES["build-base"][1], "ENV") == CONTEXT
    assert declared(STAGES["tools-base"][1], "ENV") == {"PLATFORM", "TOOLS_PYTHON"}
    built = [name for name in STAGES if {"build-base", "tools-base"} & {*line_of(name)[1:]}]
    assert [name for name in built if (CONTEXT | {"TOOLS_PYTHON"}) & declared(STAGES[name][1])] == []
    shipped = {"shared", "image", "base-system", "updated-system"}
    assert shipped == {*line_of("shared"), *line_of("updated-system")}
    assert {name for stage in shipped for name in declared(STAGES[stage][1], "ENV")} == {
        *("DEVTOOLSET_ROOTPATH", "LD_LIBRARY_PATH", "PATH", "PKG_CONFIG_PATH", "LC_ALL", "LANG", "LANGUAGE"),
        *("AUDITWHEEL_POLICY", "AUDITWHEEL_ARCH", "AUDITWHEEL_PLAT"),
        *("SSL_CERT_FILE", "PIPX_DISABLE_SHARED_LIBS_AUTO_UPGRADE"),
    }


def test_an_env_comes_after_what_differs_when_its_value_does() -> None:
    """podman's cache knows the ARGs of a RUN by value and the files of a COPY by content, but an ENV by its text."""
    early = []
    for name, (_, text) in STAGES.items():
        above = {argument for stage in line_of(name)[1:] for argument in declared(STAGES[stage][1])}
        for env in re.finditer(r"(?m)^ENV (?:[^\n\\]|\\\n)+$", text):
            before = text[: env.start()]
            known = above | (declared(before) if "\nRUN " in before else set())
            known |= {"TOOLS_PYTHON"} if "COPY --from=tools-python " in before else set()  # chooses what is copied
            used = {value for value in re.findall(r"\$\{(\w+)\}", env[0]) if value != "PATH"}
            early += [f"{name}: {value}" for value in sorted(used - known)]
    assert early == []


def test_tools_run_by_default_on_what_a_plan_chooses_for_a_whole_image() -> None:
    chosen = {decide(image, Request()).tools_python.tag for image in CATALOGUE.images(published_only=False)}
    assert re.findall(r"(?m)^ARG TOOLS_PYTHON=(.+)$", TEXT) == list(chosen)


def test_one_stage_copies_from_the_checkout_and_gives_it_modes_and_dates() -> None:
    """The umask and the hour of a clone would be in the layers otherwise."""
    copying = {name for name, (_, text) in STAGES.items() if re.search(r"(?m)^(COPY|ADD) (?!--from=)", text)}
    assert copying == {"checkout"}
    text = STAGES["checkout"][1]
    last = text.rstrip().splitlines()[-1]
    copied = {f"/{target.split('/')[1]}" for target in re.findall(r"(?m)^COPY .* (/\S+)$", text)}
    match = re.fullmatch(r"RUN chmod -R u=rwX,go=rX (.*) && find (.*) -exec touch -h -d @(\d+) \{\} \+", last)
    assert match, last
    assert set(match[1].split()) == set(match[2].split()) == copied
    assert f"\nOLDEST_DATE={match[3]} " in (DOCKER / "build_scripts/lib/lib.sh").read_text(encoding="utf-8")


def test_what_compiles_shares_the_job_server() -> None:
    """Each such RUN mounts it, and no other does: a stage without it would take all processors for itself."""
    mount = "RUN --mount=type=cache,id=manylinux-jobserver,target=/jobserver "
    scripts = {path.name: path.read_text(encoding="utf-8") for path in (DOCKER / "build_scripts").rglob("*.sh")}
    compiling = [f"/{name}" for name, text in scripts.items() if '\nsource "${HERE}/lib/jobserver.sh"\n' in text]
    assert len(compiling) > 8 and 'JOBSERVER="${JOBSERVER:-/jobserver}"' in scripts["jobserver.sh"]
    for name, (_, text) in STAGES.items():
        runs = re.findall(r"(?m)^RUN (?:[^\n\\]|\\\n)+$", text)
        known = [run for run in runs if any(script in run for script in compiling)]
        assert [run for run in runs if "jobserver" in run] == [run for run in known if run.startswith(mount)] == known
        assert not known or any("/jobserver.sh " in STAGES[stage][1] for stage in line_of(name)), name


def test_every_file_of_the_checkout_that_is_copied_is_there() -> None:
    tops = {"/manylinux/requirements": "requirements", "/manylinux/describe": "scripts/describe"}
    tops |= {"/manylinux": "docker", "/rootfs": "docker/rootfs"}
    for copied in re.findall(r"(?m)^COPY --from=checkout ((?:[^\n]|\\\n)+) \S+$", TEXT):
        for path in copied.replace("\\\n", " ").split():
            top = next(top for top in tops if path == top or path.startswith(f"{top}/"))
            assert (DOCKER.parent / f"{tops[top]}{path.removeprefix(top)}").exists(), path


def test_the_engine_sees_what_the_dockerfile_copies_and_nothing_else() -> None:
    lines = (DOCKER.parent / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    text = TEXT.replace("\\\n", " ")
    copied = re.findall(r"(?m)^COPY (?!--from)(?:--\S+ )*(.+) \S+$", text)
    used = {source for line in copied for source in line.split()}
    assert [path for path in used if not (DOCKER.parent / path).exists()] == []
    used |= set(re.findall(r"type=bind,source=([^,\s]+)", text))
    assert [path for path in used if not any(path == a or path.startswith(f"{a}/") for a in allowed)] == []
    assert [a for a in allowed if not any(path == a or path.startswith(f"{a}/") for path in used)] == []
    assert "**" in lines


def test_only_what_every_engine_knows() -> None:
    """podman 4.3 and Docker 20.10; a `syntax` line would need a registry, ADD downloads and unpacks without a hash."""
    assert not re.search(r"(?m)^(# *syntax=|ADD\b)", TEXT)
    assert [word for word in ("--link", "--checksum", "<<") if word in TEXT] == []


def test_no_policy_is_named_where_capabilities_count() -> None:
    names = re.compile(r"manylinux_?[0-9]|musllinux_[0-9]")
    files = [pins.DOCKERFILE, *(path for path in (DOCKER / "build_scripts").rglob("*") if path.is_file())]
    assert len(files) > 30 and [path for path in files if names.search(path.read_text(encoding="utf-8"))] == []
