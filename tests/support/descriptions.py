"""Descriptions of images that are made up, small and valid (docs/manifest.schema.json)."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema

from catalogue.paths import ROOT

SCHEMA = json.loads((ROOT / "docs/manifest.schema.json").read_text(encoding="utf-8"))
_INTERPRETER: dict[str, Any] = {
    "implementation": "cpython",
    "version": "3.13.15",
    "modules": ["_ssl", "ssl"],
    "libraries": {"zlib": "1.2.13"},
    "ssl": {"version": "OpenSSL 3.5.7", "protocols": ["TLSv1_3"], "alpn": True},
    "sqlite": {"version": "3.53.2", "options": ["ENABLE_FTS5"]},
    "sysconfig": {"CC": "gcc", "CONFIG_ARGS": "'--prefix=/opt/_internal/cpython-3.13.15'"},
    "suffixes": [".so"],
    "tags": ["cp313-cp313"],
    "platforms": ["linux_x86_64"],
}


def description(name: str = "manylinux_2_28_x86_64", date: int = 1_700_000_000) -> dict[str, Any]:
    """A description of an image with two interpreters; each call gives a new one to change."""
    platform = "x86_64" if name.endswith("x86_64") else name.rpartition("_")[2]
    policy = name.removesuffix(f"_{platform}")
    tags = ("cp312-cp312", "cp313-cp313")
    made = {
        "schema": 2,
        "image": {
            **{"name": name, "policy": policy, "platform": platform, "libc": "glibc", "march": "", "toolset_root": ""},
            **{"triple": "x86_64-unknown-linux-gnu", "paths": []},
            "distribution": {"id": "almalinux", "version_id": "8.10", "packages": "rpm"},
        },
        "build": {
            **{"commit": "a" * 40, "date": date, "source": "https://example.org/project", "platform": "linux/amd64"},
            "base": {"name": "quay.io/almalinux/almalinux:8", "digest": f"sha256:{'b' * 64}"},
            "builder": {"compiler": "gcc", "image": "", "platform": ""},
            **{"options": {}, "pins": {}},
        },
        "interpreters": [
            {
                **{"name": tag, "version": f"3.{tag[3:5]}.15", "url": "https://example.org/a", "sha256": "1" * 64},
                **{"paths": [], "bundles": [{"name": "expat", "version": "2.8.2"}]},
                "python_packages": [{"name": "pip", "version": "26.3"}],
            }
            for tag in tags
        ],
        "tools": [
            {"name": tool, "version": "1.0", "paths": [], "python_packages": []} for tool in ("auditwheel", "uv")
        ],
        "components": [{"name": "git", "version": "2.54.0", "url": "https://example.org/g", "paths": []}],
        "packages": [
            {**row, "architecture": "x86_64"}
            for row in (
                {"name": "zlib-devel", "version": "1.2.11-25.el8", "source": "zlib", "source_version": "1.2.11-25.el8"},
                {"name": "vim", "version": "2:8-1.el8", "source": "vim", "source_version": "8-1.el8"},
            )
        ],
        "compilers": {"gcc": "gcc (GCC) 14.2.1"},
        "capabilities": {
            "image": {
                **{"target": {"march": "x86-64"}, "libc": "glibc 2.28", "glibcxx": "3.4.25", "cxxabi": "1.3.11"},
                **{"sonames": ["libz.so.1"], "pkg_config": ["zlib"], "commands": ["gcc", "git"], "root": ["opt"]},
            },
            "interpreters": {tag: copy.deepcopy(_INTERPRETER) | {"version": f"3.{tag[3:5]}.15"} for tag in tags},
        },
    }
    jsonschema.validate(made, SCHEMA, jsonschema.Draft202012Validator)
    return made
