"""The house: imports point one way, and only the edge knows Dagster."""

from __future__ import annotations

import ast
from pathlib import Path

import humpback_pipeline

PACKAGE = Path(humpback_pipeline.__file__).parent
# A room may import itself, the modules at the top level, and the rooms named here.
ALLOWED = {
    "storage": set(),
    "text": set(),
    "chat": {"storage"},
    "models": {"storage", "chat"},
    "web": {"storage", "text"},
    "seeds": {"storage", "text"},
    "generation": {"storage", "text", "chat", "models"},
    "curation": {"storage", "text", "chat", "models", "generation"},
    "training": {"storage", "chat", "models"},
    "evaluation": {"storage", "text", "chat", "generation"},
    "judging": {"storage", "evaluation"},
    "lineage": {"storage", "seeds"},
    "alerts": {"storage"},
}
PLAIN_TOP_LEVEL = {
    "recipe",
    "recipe_curation",
    "recipe_mixture",
    "recipe_file",
    "recipe_operations",
    "recipe_section",
    "recipe_self_instruct",
    "recipe_training",
    "progress",
}


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


def test_rooms_import_only_the_rooms_below_them() -> None:
    wrong = []
    for room, below in ALLOWED.items():
        allowed = below | {room} | PLAIN_TOP_LEVEL
        for path in (PACKAGE / room).rglob("*.py"):
            for name in imports_of(path):
                parts = name.split(".")
                if parts[0] == "humpback_pipeline" and len(parts) > 1 and parts[1] not in allowed:
                    wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert not wrong


def test_only_the_edge_imports_dagster() -> None:
    edge = {"assets", "automation", "resources", "commands", "definitions.py", "__main__.py"}
    users = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == "dagster" for name in imports_of(path))
    }
    assert users <= edge
