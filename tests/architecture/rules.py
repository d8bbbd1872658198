"""The house rules: each takes a module and gives what is wrong with it."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "parcela"

MAX_FILE_LINES = 400
MAX_ROUTER_LINES = 250
MAX_FUNCTION_LINES = 50
MAX_ENDPOINT_LINES = 20
MAX_METHODS = 20

OPTIONAL_IMPORTS = {
    (
        "wiring/drivers.py",
        "parcela.hypervisors.libvirt.driver",
    ): "libvirt-python is an extra: others serve without it",
    ("cli/local/server.py", "parcela.db.migrate"): "Alembic is large, and most starts find the schema as it should be",
    ("services/identity/services.py", "parcela.services.mail.smtp"): "most installations send no mails",
    (
        "services/identity/services.py",
        "parcela.services.identity.single_sign_on.oidc",
    ): "most installations have no provider; its clients are large",
    (
        "services/webhooks/http_client.py",
        "httpx2",
    ): "loaded for the first delivery: most installations have no webhooks",
    ("core/qr_codes.py", "segno"): "loaded for the first label or second factor",
    ("services/stores.py", "parcela.db.redis"): "most installations have no Redis, and its client is slow to load",
    ("services/stores.py", "parcela.db.mongo"): "the same for MongoDB",
    ("services/stores.py", "parcela.repositories.maintenance.mongo"): "the same for MongoDB",
}
COMMITTERS = {
    "repositories/uow.py": "the unit of work itself",
    "db/": "migrations have their own transactions",
    "workers/": "a job is an edge: it opens, loads, calls and commits",
    "main.py": "the start of a process is an edge",
    "api/dependencies/uow.py": "the one place of the JSON edge",
    "web/dependencies/uow.py": "the one place of the HTML edge",
    "api/routers/images.py": "an upload must not hold SQLite's only writer while gigabytes arrive",
    "services/observability/audit.py": "a refused write is noted although its answer is an error",
    "services/projects/image_quota.py": (
        "an upload reserves bytes while they arrive, and must not hold the writer meanwhile"
    ),
    "services/observability/refusals.py": (
        "counts of refusals are written together in the background, as services/observability/audit.py"
    ),
    "services/identity/login_limits/guard.py": (
        "hashing must not hold the writer, and a failed login counts although its answer is an error"
    ),
    "services/mail/outbox.py": "sends in the background: claim, hand over and result are transactions of their own",
    "services/identity/caller_cache.py": "notes last uses of tokens in the background",
    "services/bootstrap.py": "runs before there is any edge",
    "services/compute/consoles/consoles.py": "a ticket is spent even when the console then does not open",
    "services/inventory/record_store_migration.py": "a move goes in batches, each of which may be repeated after a cut",
    "services/operations/journal.py": "each step of an operation is its own transaction (intent before side effect)",
}
"""Who may commit besides the edges, and why."""
HTTP_SPEAKERS = ("api/", "web/", "cli/", "main.py", "services/webhooks/http_client.py")
"""Who may know the numbers of HTTP: the edges, and the one client that speaks to other servers."""
SINGLETONS = {
    ("hypervisors/libvirt/eventloop.py", "_lock"): "libvirt's event loop can be registered only once per process",
    ("hypervisors/libvirt/eventloop.py", "_started"): "the same",
    ("core/origin.py", "_origin"): "a context variable belongs to the task; who asks must reach every unit of work",
}
FACTORIES = frozenset(
    {
        "structlog.get_logger",
        "logging.getLogger",
        "APIRouter",
        "json_router",
        "marked_router",
        "v1_router",
        "siglab_router",
    }
    | {"web_router", "typer.Typer", "TypeVar", "HTTPBearer"}
)
"""Calls whose result may have a small name at module level: declarations, not state."""
STATEFUL = frozenset(
    {"dict", "list", "set", "bytearray", "defaultdict", "deque", "Counter", "OrderedDict", "Lock", "RLock", "Event"}
    | {"Queue", "Semaphore", "Condition", "local", "ContextVar"}
)
MUTATORS = frozenset(
    {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}
)


@dataclass(frozen=True)
class Module:
    """A source file; ``path`` is below the package."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


Check = Callable[[Module], Iterator[str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> list[Module]:
    """All modules of the package; the table-making migrations are written by a generator."""
    files = sorted(PACKAGE.rglob("*.py"))
    found = [Module(path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")) for path in files]
    return [module for module in found if not module.path.startswith("db/migrations/versions/")]


def _functions(module: Module) -> Iterator[Function]:
    return (node for node in ast.walk(module.tree) if isinstance(node, Function))


def _body_lines(node: Function) -> int:
    """Lines of the body without its docstring, which may say as much as it needs to."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def _signature_lines(node: Function) -> int:
    return node.body[0].lineno - node.lineno


def files_are_short(module: Module) -> Iterator[str]:
    limit = MAX_ROUTER_LINES if module.path.startswith("api/routers/") else MAX_FILE_LINES
    if len(module.lines) > limit:
        yield f"{module.path} has {len(module.lines)} lines (at most {limit})"


def functions_are_short(module: Module) -> Iterator[str]:
    for node in _functions(module):
        lines = _signature_lines(node) + _body_lines(node)
        if lines > MAX_FUNCTION_LINES:
            yield f"{module.path}: {node.name} has {lines} lines (at most {MAX_FUNCTION_LINES})"


def endpoints_are_short(module: Module) -> Iterator[str]:
    for node in _functions(module):
        endpoint = any(ast.unparse(decorator).startswith("router.") for decorator in node.decorator_list)
        if endpoint and _body_lines(node) > MAX_ENDPOINT_LINES:
            yield f"{module.path}: endpoint {node.name} has {_body_lines(node)} lines (at most {MAX_ENDPOINT_LINES})"


def classes_are_small(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            names = [part.name for part in node.body if isinstance(part, Function)]
            methods = [name for name in names if not (name.startswith("__") and name.endswith("__"))]
            if len(methods) > MAX_METHODS:
                yield f"{module.path}: class {node.name} has {len(methods)} methods (at most {MAX_METHODS})"


def imports_stand_at_the_top(module: Module) -> Iterator[str]:
    for function in _functions(module):
        for node in ast.walk(function):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or "."]
            for name in names:
                if (module.path, name) not in OPTIONAL_IMPORTS:
                    yield f"{module.path}: {function.name} imports {name}"


def only_edges_commit(module: Module) -> Iterator[str]:
    if any(module.path == place or (place.endswith("/") and module.path.startswith(place)) for place in COMMITTERS):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr == "commit":
            yield f"{module.path}:{node.lineno} commits; only edges do"


def flushes_say_why(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "flush"):
            continue
        owner = ast.unparse(node.func.value)
        if owner.split(".")[-1].lstrip("_") not in {"uow", "session"} or module.path == "repositories/uow.py":
            continue
        if "#" not in "".join(module.lines[max(0, node.lineno - 2) : node.lineno]):
            yield f"{module.path}:{node.lineno} flushes without a comment that says why"


def statuses_stay_at_the_edge(module: Module) -> Iterator[str]:
    """Numbers of HTTP: whatever is called a status and is compared with, given or set to 100..599."""
    if module.path.startswith(HTTP_SPEAKERS):
        return
    for node in ast.walk(module.tree):
        named = isinstance(node, ast.Name | ast.Attribute) and _last(node) in {"status_code", "HTTPStatus"}
        if named or _is_numbered_status(node):
            yield f"{module.path}:{getattr(node, 'lineno', 0)} speaks of HTTP statuses: {ast.unparse(node)}"


def _last(node: ast.AST) -> str:
    return ast.unparse(node).split(".")[-1]


def _is_numbered_status(node: ast.AST) -> bool:
    pairs: list[tuple[str, ast.AST | None]] = []
    if isinstance(node, ast.keyword):
        pairs = [(node.arg or "", node.value)]
    elif isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        pairs = [(ast.unparse(one), other) for one in sides for other in sides]
    elif isinstance(node, ast.Assign):
        pairs = [(ast.unparse(target), node.value) for target in node.targets]
    elif isinstance(node, ast.AnnAssign):
        pairs = [(ast.unparse(node.target), node.value)]
    return any("status" in name.lower() and _is_http_number(value) for name, value in pairs)


def _is_http_number(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int) and 100 <= node.value <= 599


def modules_hold_no_state(module: Module) -> Iterator[str]:
    """Module-level names are constants: in capitals, never changed; anything else is built by a composition root."""
    constants = set()
    for node in module.tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for name in (ast.unparse(target) for target in targets):
            if (module.path, name) in SINGLETONS or name == "__all__":
                continue
            constants.add(name)
            if _is_state(name, node.value):
                yield f"{module.path}:{node.lineno} holds state at module level: {name}"
    for part in ast.walk(module.tree):
        changed = _changed_name(part)
        if isinstance(part, ast.Global):
            yield f"{module.path}:{part.lineno} writes to module level: global {', '.join(part.names)}"
        elif changed in constants and changed.isupper():
            yield f"{module.path}:{getattr(part, 'lineno', 0)} changes the constant {changed}"


def _is_state(name: str, value: ast.expr) -> bool:
    if isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp):
        return not name.isupper()
    if isinstance(value, ast.Call):
        called = ast.unparse(value.func)
        if called.split(".")[-1] in STATEFUL:
            return True
        return not name.isupper() and called not in FACTORIES and not name[:1].isupper()
    return False


def _changed_name(node: ast.AST) -> str:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
        return ast.unparse(node.func.value)
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        return ast.unparse(node.value)
    return ""


def preconditions_are_handed_on(module: Module) -> Iterator[str]:
    """An edge that compares ``If-Match`` itself does so before the row is locked: two writers would both go through."""
    if not module.path.startswith(("api/routers/", "api/compat/", "web/")):
        return
    for node in _functions(module):
        arguments = [*node.args.args, *node.args.kwonlyargs]
        held = {a.arg for a in arguments if a.annotation is not None and "Precondition" in ast.unparse(a.annotation)}
        for part in ast.walk(node):
            compared = isinstance(part, ast.Attribute) and ast.unparse(part.value) in held and part.attr != "of"
            called = isinstance(part, ast.Call) and ast.unparse(part.func) == "check"
            if compared or (held and called):
                yield f"{module.path}: {node.name} compares If-Match itself: give 'precondition.of(...)' to the service"


def preconditions_follow_the_lock(module: Module) -> Iterator[str]:
    """A service calls the ``check`` of a request only after it has locked the row."""
    if not module.path.startswith("services/"):
        return
    for node in _functions(module):
        if "check" not in {a.arg for a in [*node.args.args, *node.args.kwonlyargs]}:
            continue
        calls = [part for part in ast.walk(node) if isinstance(part, ast.Call)]
        locks = [part.end_lineno or 0 for part in calls if _takes_a_lock(part)]
        for part in calls:
            if ast.unparse(part.func) == "check" and not [line for line in locks if line <= (part.end_lineno or 0)]:
                yield f"{module.path}: {node.name} calls 'check' before it has locked anything"


def _takes_a_lock(call: ast.Call) -> bool:
    name = _last(call.func)
    return "lock" in name or name in {"_writable", "get_for_update", "me_for_update"}


def modules_say_what_they_are(module: Module) -> Iterator[str]:
    behaves = any(isinstance(node, Function | ast.ClassDef) for node in module.tree.body)
    if behaves and ast.get_docstring(module.tree) is None:
        yield f"{module.path} has behaviour and no docstring"
