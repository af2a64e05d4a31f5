"""The house as a whole, in rules that read like the README's sentences: which room may know which, and how code is
written in all of them. They read the code's text, so they hold for files that no test imports.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.errors import user_facing_errors

ROOT = Path(__file__).parents[1]
ROOMS = ("bot", "model_worker", "db")
LONGEST_FUNCTION = 42
"""Lines: what the longest function had when this was written. The median is 6."""


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def files_in(*folders: str) -> list[Path]:
    found = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    assert found, f"there is nothing in {folders}"
    return found


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[str]:
    """Yield the full names of what a file imports, wherever in the file it does."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def those_who_import(folder: str, *forbidden: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files_in(folder)
        for name in imports_of(path)
        if any(name == module or name.startswith(f"{module}.") for module in forbidden)
    ]


# --- Three rooms, in this order: bot → model_worker → db.


def test_the_database_knows_no_other_room() -> None:
    assert those_who_import("db", "bot", "model_worker") == []


def test_the_worker_does_not_know_the_bot() -> None:
    assert those_who_import("model_worker", "bot") == []


def test_the_bot_knows_only_the_workers_face() -> None:
    strangers = [line for line in those_who_import("bot", "model_worker") if " model_worker.api" not in line]
    assert strangers == []


def test_the_workers_face_is_free_of_models() -> None:
    inner = tuple(f"model_worker.{room}" for room in ("server", "perception", "generation", "finetune", "evaluation"))
    assert those_who_import("model_worker/api", *inner, "torch", "transformers", "timm", "open_clip", "peft") == []


def test_discord_is_known_where_people_are_met_and_nowhere_else() -> None:
    for folder in ("db", "model_worker", "bot/service", "bot/archive", "bot/texts", "bot/runtime"):
        assert those_who_import(folder, "discord", "simcord") == []


def test_use_cases_do_not_know_how_they_are_shown_or_run() -> None:
    for folder in ("bot/service", "bot/archive", "bot/texts"):
        assert those_who_import(folder, "bot.ui", "bot.cogs", "bot.client", "bot.cli", "bot.runtime", "bot.demo") == []


def test_pictures_of_strangers_are_decoded_by_the_worker_only() -> None:
    assert those_who_import("bot", "model_worker.api.images.decode_picture") == []
    assert those_who_import("model_worker/server", "model_worker.api.images.decode_picture") != []


def test_the_bot_reads_no_pictures_but_the_jpegs_that_the_worker_made() -> None:
    opened = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in files_in("bot")
        if path.parent.name != "demo"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "Image.open"
        and "formats=['JPEG']" not in ast.unparse(node)
    ]
    assert opened == []


def test_only_the_simulated_discord_of_the_demo_is_simulated() -> None:
    strangers = [line for line in those_who_import("bot", "simcord") if not line.startswith("bot/demo/")]
    assert strangers == []


@pytest.mark.parametrize(
    ("modules", "forbidden"),
    [
        ("bot.client, bot.cogs.chat, bot.runtime.jobs, bot.runtime.doctor", "torch transformers timm simcord"),
        ("bot.service.memories, bot.service.privacy, bot.service.governance, bot.archive.reader", "discord torch"),
        ("db.setup.cli, db.recall, db.concepts, db.setup.health", "torch discord model_worker bot"),
        ("model_worker.cli, model_worker.server.app", "discord bot simcord"),
        ("bot.archive.child", "discord torch asyncpg aiohttp"),
        ("model_worker.server.decoder_process", "discord torch bot asyncpg aiohttp"),
    ],
)
def test_what_is_loaded_in_the_end_keeps_to_the_rooms_too(modules: str, forbidden: str) -> None:
    code = (
        f"import sys, {modules}\nprint(sorted(set({forbidden.split()!r}) & {{m.split('.')[0] for m in sys.modules}}))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert ran.stdout.strip() == "[]"


# --- No way in a circle.


def test_no_file_imports_itself_by_a_detour() -> None:
    modules = {module_of(path): path for path in files_in(*ROOMS)}
    arrows = {
        module: {target for name in imports_of(path) if (target := _nearest(name, modules)) and target != module}
        for module, path in modules.items()
    }
    done: set[str] = set()
    for module in arrows:
        assert _circle_from(module, arrows, [], done) == []


def _nearest(name: str, modules: dict[str, Path]) -> str | None:
    return name if name in modules else next((m for m in (name.rpartition(".")[0],) if m in modules), None)


def _circle_from(module: str, arrows: dict[str, set[str]], way: list[str], done: set[str]) -> list[str]:
    if module in way:
        return [*way[way.index(module) :], module]
    if module in done:
        return []
    for target in sorted(arrows[module]):
        if circle := _circle_from(target, arrows, [*way, module], done):
            return circle
    done.add(module)
    return []


# --- How code is written in all of them.


def functions_in(*folders: str) -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in files_in(*folders):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def test_functions_are_short() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name} has {length} lines"
        for path, node in functions_in(*ROOMS)
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > LONGEST_FUNCTION
    ]
    assert long == []


def test_a_variable_is_called_what_it_is() -> None:
    nameless = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in files_in(*ROOMS, "tests")
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.Name) and node.id == "one") or (isinstance(node, ast.arg) and node.arg == "one")
    ]
    assert nameless == []


def test_arguments_are_given_by_name_not_as_a_row_of_stars() -> None:
    stars = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in files_in(*ROOMS)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and any(isinstance(part, ast.Starred) and isinstance(part.value, ast.Tuple) for part in node.args)
    ]
    assert stars == []


def test_what_has_four_fields_or_more_is_made_by_keyword() -> None:
    """All but a viewer, who is written everywhere, like coordinates: a user, and the server they are on."""
    positional = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in files_in(*ROOMS)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef) and node.name != "Viewer" and _is_positional_dataclass(node)
    ]
    assert positional == []


def _is_positional_dataclass(node: ast.ClassDef) -> bool:
    fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    is_dataclass = any(text.split("(")[0] == "dataclass" for text in decorators)
    return is_dataclass and len(fields) >= 4 and not any("kw_only=True" in text for text in decorators)


SQL = ("SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "TRUNCATE ", "ALTER TABLE ", "CREATE ")


def test_sql_is_in_the_database_room_only() -> None:
    strangers = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.value.strip()[:40]}"
        for path in files_in("bot", "model_worker")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.strip().startswith(SQL)
    ]
    assert strangers == []


SETTINGS = ("db/setup/settings.py", "model_worker/api/settings.py", "bot/runtime/settings.py")


def test_the_environment_is_read_by_the_settings_and_nowhere_else() -> None:
    names = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
    strangers = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in files_in(*ROOMS)
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.Attribute) and node.attr in names)
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and names & {alias.name for alias in node.names})
    ]
    assert [line for line in strangers if not line.startswith(SETTINGS)] == []


USE_CASES = tuple(
    f"bot/service/{name}.py"
    for name in ("ask", "feedback", "governance", "learning", "memories", "privacy", "reindexing", "remember")
)


def test_what_the_product_does_begins_with_the_app_and_who_acts() -> None:
    coroutines = [
        (f"{name}: {node.name}", [arg.arg for arg in node.args.args])
        for name in USE_CASES
        for node in tree_of(ROOT / name).body
        if isinstance(node, ast.AsyncFunctionDef)
    ]
    assert len(coroutines) > 40
    assert [name for name, taken in coroutines if taken[0] not in {"app", "connection"}] == []
    strangers = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path, node in functions_in("bot/service", "bot/cogs", "bot/ui")
        if {arg.arg for arg in [*node.args.args, *node.args.kwonlyargs]} & {"pool", "viewer", "who"}
    ]
    assert strangers == []


def test_tests_share_what_is_in_support_and_nothing_of_each_other() -> None:
    borrowed = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files_in("tests")
        for name in imports_of(path)
        if name.startswith("tests.") and not name.startswith("tests.support.")
    ]
    assert borrowed == []


def test_the_tests_mirror_the_rooms() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == {*ROOMS, "stories", "support"}


# --- One place has the words.

OPERATORS = (
    "bot/texts",
    "bot/demo",
    "bot/runtime",
    "bot/cli.py",
    "bot/metrics.py",
    "db/setup",
    "db/pool.py",
    "db/roles.py",
)
"""The words themselves, and where those who run the bot are spoken to."""
SENTENCE = re.compile(r"\S+ .*\w[.!]”?$", re.DOTALL)
IS_SQL = re.compile(r"\b(SELECT|UPDATE|INSERT|DELETE|FROM|WHERE)\b")


def texts_in(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the texts of a file with their lines, without those that document it or go into its log."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(node.value)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith("log."):
            skipped.update(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            skipped.update(ast.walk(node))
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def test_no_sentence_for_people_stands_outside_bot_texts() -> None:
    sentences = [
        f"{path.relative_to(ROOT)}:{line} {text[:60]}"
        for path in files_in("bot", "db")
        if not str(path.relative_to(ROOT)).startswith(OPERATORS)
        for line, text in texts_in(tree_of(path))
        if SENTENCE.match(text) and not IS_SQL.search(text)
    ]
    assert sentences == []


def test_errors_that_people_meet_carry_data_and_no_sentence() -> None:
    kinds = {kind.__name__ for kind in user_facing_errors()}
    said = [
        f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}"
        for path in files_in(*ROOMS)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in kinds
        for given in [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg != "detail")]
        if isinstance(given, ast.JoinedStr) or (isinstance(given, ast.Constant) and " " in str(given.value))
    ]
    assert said == []
