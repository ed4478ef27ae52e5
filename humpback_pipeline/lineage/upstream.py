"""What a version was made from, and what was made from it, through all steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from humpback_pipeline.lineage.artefact import Artefact
from humpback_pipeline.lineage.catalogue import Catalogue
from humpback_pipeline.storage.manifest import Provenance

FILE_PREFIX = "file/"
SOURCE_KINDS = {
    "seed_files": "seed data",
    "warc_shards": "WARC file",
    "base_models": "base model",
    "prompts": "prompt",
}
# These are read by what has no other input; everything else inherits them.
READ_ALONE = ("seed_files", "warc_shards")


@dataclass(frozen=True)
class Source:
    """Something from outside the stores: seed data, WARC file, base model, prompt or file."""

    kind: str
    name: str
    content_hash: str


@dataclass(frozen=True)
class Node:
    """One version in the tree of what something was made from.

    artefact is None where no version with that content is known (its folder was removed by hand).
    A node used several times is one object.
    """

    key: str
    content_hash: str
    artefact: Artefact | None
    inputs: tuple[Node, ...]
    catalogue: Catalogue = field(repr=False, compare=False)

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """What it was made from that lies outside the stores; read from disk on first use."""
        return direct_sources(self.catalogue, self.artefact) if self.artefact else ()

    def walk(self) -> Iterator[Node]:
        """Every node once, this one first."""
        seen: set[int] = set()
        waiting = [self]
        while waiting:
            node = waiting.pop()
            if id(node) not in seen:
                seen.add(id(node))
                yield node
                waiting += reversed(node.inputs)


def upstream(catalogue: Catalogue, artefact: Artefact) -> Node:
    """The tree of direct inputs with their versions, down to seeds, WARC files, prompts, models."""
    nodes: dict[tuple[str, str], Node] = {}

    def node(key: str, content_hash: str, made: Artefact | None) -> Node:
        place = (key, made.version if made else content_hash)
        if place not in nodes:
            inputs = made.inputs.items() if made else ()
            created = made.created if made else ""
            below = [node(k, h, catalogue.find(k, h, created)) for k, h in inputs]
            nodes[place] = Node(key, content_hash, made, tuple(below), catalogue)
        return nodes[place]

    return node(artefact.key, artefact.content_hash, artefact)


def direct_sources(catalogue: Catalogue, artefact: Artefact) -> tuple[Source, ...]:
    """What a version was made from that is no dataset or model of the home.

    A manifest's provenance is the union over all ancestors; its own is what no input has. A model
    is always finetuned from its base, which its inputs may share.
    """
    own = catalogue.provenance(artefact)
    inherited = _inherited(catalogue, artefact)
    sources = []
    for name, kind in SOURCE_KINDS.items():
        if name in READ_ALONE and artefact.inputs:
            continue
        of_inputs = getattr(inherited, name)
        if name == "base_models" and artefact.kind == "model":
            of_inputs = {}
        entries = getattr(own, name).items()
        sources += [Source(kind, n, h) for n, h in entries if of_inputs.get(n) != h]
    sources += [
        Source("file", name.removeprefix(FILE_PREFIX), value)
        for name, value in own.datasets.items()
        if name.startswith(FILE_PREFIX) and inherited.datasets.get(name) != value
    ]
    return tuple(sources)


def downstream(catalogue: Catalogue, artefact: Artefact) -> tuple[Artefact, ...]:
    """Every version made from that content, directly or through others, oldest first."""
    reached: dict[tuple[str, str], Artefact] = {}
    waiting = [(artefact.key, artefact.content_hash)]
    asked: set[tuple[str, str]] = set()
    while waiting:
        place = waiting.pop()
        if place in asked:
            continue
        asked.add(place)
        for user in catalogue.users(*place):
            reached[user.key, user.version] = user
            waiting.append((user.key, user.content_hash))
    return tuple(sorted(reached.values(), key=lambda a: (a.created, a.key)))


def _inherited(catalogue: Catalogue, artefact: Artefact) -> Provenance:
    # The partitions of one dataset are made with the same prompts and models, so one of each
    # dataset is enough; there can be thousands, with long manifests.
    one_of_each = {key.split("/", 1)[0]: key for key in sorted(artefact.inputs, reverse=True)}
    found = [
        catalogue.find(key, artefact.inputs[key], artefact.created) for key in one_of_each.values()
    ]
    return Provenance().merged([catalogue.provenance(a) for a in found if a is not None])
