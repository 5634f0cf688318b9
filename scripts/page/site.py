"""All files of the page, from the tables: HTML by the templates beside this module, JSON, the calendar and the feed."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from catalogue.distributions import NAMES
from catalogue.paths import ROOT
from catalogue.versions import version_key
from explain import reach
from explain.documents import THRESHOLD
from page import facts, feeds
from page.facts import Facts, Tables
from pictures import layers, reached, svg, timeline

HERE = Path(__file__).parent
SCHEMA = 1  # of api/v1; see docs/api.md
API_SCHEMA = ROOT / "docs" / "api.schema.json"
NAVIGATION = [
    ("Images", "images"),
    ("Choose", "choose"),
    ("Policies", "policies"),
    ("Distributions", "distributions"),
    ("Pythons", "interpreters"),
    ("Notes", "notes"),
    ("Calendar", "calendar"),
]
DOCUMENTS = [
    ("api/v1/index.json", "the names of all that follows, registry and source"),
    ("api/v1/images.json", "every image: policy, platform, base, compiler, Pythons, tools, digest"),
    ("api/v1/images/<image>.json", "one image, with the packages of the distribution"),
    ("api/v1/policies.json", "every policy: its base and its end, whom it reaches, where its wheels run"),
    ("api/v1/distributions.json", "every release of a distribution: its C library, which wheels run there"),
    ("api/v1/interpreters.json", "every interpreter: its version, the images that have it, its end"),
    ("api/v1/choices.json", "the answers of `invoke choose` for every platform and Python"),
    ("api/v1/calendar.json", "what ends, and when"),
    ("api/v1/notes.json", "what changed between two tags"),
    ("api/v1/schema.json", "the JSON schema of all of these"),
    ("calendar.ics", "the calendar"),
    ("notes/atom.xml", "the feed of notes"),
]


@dataclass
class Pages:
    """The page under construction. `address`: where it is going to be, with a slash at the end."""

    tables: Tables
    address: str
    commit: str = ""

    def __post_init__(self) -> None:
        loader = jinja2.FileSystemLoader(HERE / "templates")
        self.templates = jinja2.Environment(
            loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self.templates.filters |= {"sentence": sentence, "code": code}
        tables = self.tables
        self.images = [facts.image_facts(tables, image) for image in tables.images]
        self.policies = facts.policies_facts(tables)
        self.interpreters = [facts.interpreter_facts(tables, i) for i in tables.catalogue.interpreters.values()]
        releases = sorted(
            tables.releases, key=lambda r: (NAMES[r.distribution].lower(), r.rolling, version_key(r.release))
        )
        self.distributions = [facts.distribution_facts(tables, release) for release in releases]
        self.choices = facts.choices(tables)
        self.calendar = [facts.ending_facts(tables, ending) for ending in tables.endings]
        self.notes = tables.notes
        self.timeline = timeline.timeline(tables.catalogue, tables.endings, tables.today)

    def files(self) -> Iterator[tuple[str, str]]:
        """Path below the site's directory -> text."""
        for name in ("icon.svg", "filter.js"):
            yield f"static/{name}", (HERE / "static" / name).read_text(encoding="utf-8")
        yield "static/site.css", style()
        yield from self.pages()
        yield from self.documents()
        yield "calendar.ics", feeds.calendar(self.calendar, self.tables.today, self.address)
        yield "notes/atom.xml", feeds.atom(self.notes, self.tables.today, self.address)
        for name, known in self.tables.published.items():
            if known.sbom:
                yield f"images/{name}/sbom.spdx.json", known.sbom

    # --- For programs -------------------------------------------------------------------------------------------------

    def documents(self) -> Iterator[tuple[str, str]]:
        """The JSON; the list of images leaves out the packages of the distributions."""
        brief = [{**image, "content": _without_packages(image["content"])} for image in self.images]
        rows: dict[str, list[Facts]] = {
            "images": brief,
            "policies": self.policies,
            "distributions": self.distributions,
            "interpreters": self.interpreters,
            "choices": self.choices,
            "calendar": self.calendar,
            "notes": self.notes,
        }
        index = {
            "registry": self.tables.catalogue.registry,
            "source": self.tables.catalogue.source,
            "commit": self.commit,
            "images": [image["name"] for image in self.images],
            "policies": [policy["name"] for policy in self.policies],
            "distributions": [release["slug"] for release in self.distributions],
            "interpreters": [row["tag"] for row in self.interpreters],
        }
        yield "api/v1/index.json", self._json(index)
        for name, found in rows.items():
            counted = {"counted": self._counted(), "threshold": THRESHOLD} if name == "choices" else {}
            yield f"api/v1/{name}.json", self._json({**counted, name: found})
        for image in self.images:
            yield f"api/v1/images/{image['name']}.json", self._json({"image": image})
        yield "api/v1/schema.json", API_SCHEMA.read_text(encoding="utf-8")

    def _json(self, content: Facts) -> str:
        made = {"schema": SCHEMA, "made": self.tables.today.isoformat(), **content}
        return json.dumps(made, indent=1, ensure_ascii=False) + "\n"

    def _counted(self) -> Facts:
        table = self.tables.reach
        return {
            "first": table.first.isoformat(),
            "last": table.last.isoformat(),
            "source": table.source,
            "licence": table.licence,
            "bias": table.bias,
        }

    # --- For people ---------------------------------------------------------------------------------------------------

    def pages(self) -> Iterator[tuple[str, str]]:
        """The HTML."""
        catalogue = self.tables.catalogue
        pythons = str(reach.maintained(catalogue))
        shared: Facts = {"pythons": pythons, "counted": self._counted(), "threshold": THRESHOLD}
        general = [choice for choice in self.choices if choice["python"] is None]
        example = next((i for i in catalogue.images() if i.policy.name == catalogue.default_policy), None)
        current = [i.tag for i in catalogue.interpreters.values() if i.runs_tools]
        by_platform = {
            platform: [c for c in self.choices if c["platform"] == platform] for platform in self._platforms()
        }
        yield self._page(
            "", "index.html", "manylinux images", "Container images for building binary wheels of Python for Linux.",
            count=len(catalogue.images()), recommended=[c for c in general if c["answers"][0]["reaches"] is not None],
            musl=next((p["name"] for p in reversed(self.policies) if p["libc"] == "musl" and p["images"]), ""),
            policies=self.policies, timeline=self.timeline, reached=reached.reached(catalogue, self.tables.reach),
            layers=layers.layers(), example=example, example_tag=(current or [""])[-1], **shared,
        )  # fmt: skip
        yield self._page(
            "images/", "images.html", "Images", "Every image: its status, base and compiler.", images=self.images
        )
        soon = (self.tables.today + datetime.timedelta(days=2 * 365)).isoformat()
        measured = layers.measured_image()
        for image in self.images:
            policy = next(policy for policy in self.policies if policy["name"] == image["policy"])
            variant = catalogue.variants.get(image["variant"])
            yield self._page(
                f"images/{image['name']}/", "image.html", image["name"],
                f"What {image['name']} holds, until when its base is maintained, and how to get it.",
                image=image, answer=policy["reaches"].get(image["platform"]),
                purpose=variant.purpose if variant else "",
                soon=[row for row in image["endings"] if not row["ended"] and row["day"] < soon],
                interpreters=_interpreters(image), layers=layers.layers() if image["name"] == measured else None,
                notes=[note for note in self.notes if note["slug"] in image["notes"]], **shared,
            )  # fmt: skip
        yield self._page(
            "policies/", "policies.html", "Policies", "Every policy, its base, compiler and end.",
            policies=self.policies, timeline=self.timeline,
        )  # fmt: skip
        for policy in self.policies:
            runs: dict[str, list[Facts]] = {}
            for release in self.distributions:
                if release["name"] in policy["runs_on"]:
                    runs.setdefault(release["distribution"], []).append(release)
            yield self._page(
                f"policies/{policy['name']}/", "policy.html", policy["name"],
                f"What {policy['name']} promises, its images, and where its wheels run.",
                policy=policy, releases=runs, images=[i for i in self.images if i["name"] in policy["images"]],
                **shared,
            )  # fmt: skip
        yield self._page(
            "distributions/", "distributions.html", "Distributions", "Which wheels run on which distribution.",
            releases=self.distributions,
        )  # fmt: skip
        for release in self.distributions:
            families = sorted({family for row in release["symbols"].values() for family in row})
            yield self._page(
                f"distributions/{release['slug']}/", "distribution.html", f"Which wheels run on {release['name']}",
                f"The policies whose wheels run on {release['name']}, and the images that build them.",
                release=release, families=families,
            )  # fmt: skip
        yield self._page(
            "interpreters/", "interpreters.html", "Pythons", "Every Python of the images.",
            interpreters=self.interpreters,
        )  # fmt: skip
        for row in self.interpreters:
            yield self._page(
                f"interpreters/{row['tag']}/", "interpreter.html", row["tag"],
                f"{row['implementation']} {row['python']} in the images.", row=row,
            )  # fmt: skip
        grid: dict[str, dict[str, Facts]] = {}
        for choice in self.choices:
            name = choice["python"] or f"{choice['pythons'].removeprefix('>=')} and newer"
            grid.setdefault(name, {})[choice["platform"]] = choice
        yield self._page(
            "choose/", "choose.html", "Choose a policy", "Which policy to build wheels for, by Python and platform.",
            grid=grid, platforms=list(by_platform), **shared,
        )  # fmt: skip
        for platform, choices in by_platform.items():
            yield self._page(
                f"choose/{platform}/", "choose_platform.html", f"A policy for {platform}",
                f"Which policy to build wheels for on {platform}, by Python.",
                platform=platform, choices=choices, common=_common(choices), **shared,
            )  # fmt: skip
        coming: dict[str, list[Facts]] = {}
        for row in self.calendar:
            if not row["ended"]:
                coming.setdefault(row["day"][:4], []).append(row)
        yield self._page(
            "calendar/", "calendar.html", "Calendar", "When support ends, and when something leaves the images.",
            timeline=self.timeline, coming=coming,
            past=[row for row in reversed(self.calendar) if row["ended"]],
        )  # fmt: skip
        yield self._page("notes/", "notes.html", "What changed", "What changed between tags.", notes=self.notes)
        known = {image["name"] for image in self.images}
        for note in self.notes:
            yield self._page(
                f"notes/{note['slug']}/", "note.html", note["title"], note["summary"], note=note, known=known
            )
        yield self._page("api/", "api.html", "For programs", "The same as JSON.", documents=DOCUMENTS)

    def _platforms(self) -> list[str]:
        return list(dict.fromkeys(choice["platform"] for choice in self.choices))

    def _page(self, path: str, template: str, title: str, description: str, **context: Any) -> tuple[str, str]:
        """`path` is a directory, "" the top: the page is its index.html."""
        text = self.templates.get_template(template).render(
            path=path, root="../" * path.count("/"), title=title, description=description, navigation=NAVIGATION,
            source=self.tables.catalogue.source, today=self.tables.today.isoformat(), commit=self.commit, **context,
        )  # fmt: skip
        return f"{path}index.html", text


def sentence(words: str) -> str:
    """A sentence of its own: with a capital, unless it begins with a name like cp39-cp39, and a full stop."""
    begins_with_name = bool(set("_0123456789") & set(words.split()[0]))
    return f"{words if begins_with_name else words[0].upper() + words[1:]}."


def code(text: str) -> Markup:
    """Text with code between backquotes, as notes have it."""
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(part) if n % 2 else part for n, part in enumerate(parts))


def style() -> str:
    """The style sheet: the colours of both themes, the rules of the pictures, and what the page has of its own."""
    light, dark = (
        "".join(f"--{name}:{value};" for name, value in svg.THEMES[theme].items()) for theme in ("light", "dark")
    )
    pictures = svg.rules(".picture ", {name: f"var(--{name})" for name in svg.THEMES["light"]})
    own = (HERE / "static" / "site.css").read_text(encoding="utf-8")
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{pictures}\n{own}"
    )


def _without_packages(content: Facts | None) -> Facts | None:
    return content and {name: value for name, value in content.items() if name != "packages"}


def _common(choices: list[Facts]) -> list[str]:
    """The caveats of every answer."""
    first, *others = [choice["answers"][0]["caveats"] for choice in choices]
    return [caveat for caveat in first if all(caveat in other for other in others)]


def _interpreters(image: Facts) -> list[Facts]:
    """The interpreters of an image: those that it says it has, in their versions, else those of the next build."""
    if not image["content"]:
        return [*image["interpreters"], *image["on_demand"]]
    had = {row["name"]: row["version"] for row in image["content"]["interpreters"]}
    every = [*image["interpreters"], *image["on_demand"]]
    rows = [{**row, "version": had[row["tag"]], "preinstalled": True} for row in every if row["tag"] in had]
    return [*rows, *(row for row in image["on_demand"] if row["tag"] not in had)]
