"""The native template document: what a drawn topology says, and nothing about what the lab can offer.

Only the *shape* is judged here: types, unknown fields, hard lengths. Whether the names, sizes and addresses make sense
is said by ``validate``, because a half-finished drawing must still be storable.

Example::

    {"vms": [{"name": "client", "image": "tiny", "flavour": "tiny"}],
     "networks": [{"name": "lan1", "mtu": 1500}],
     "edges": [{"a": {"vm": "client", "address": "10.0.1.2/24"}, "b": {"network": "lan1"}}]}
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from parcela.core.collation import all_composed
from parcela.core.errors import ErrorKind, ParcelaError, Problem, invalid

MAX_VMS: Final = 200
MAX_NETWORKS: Final = 200
MAX_EDGES: Final = 1000
MAX_USER_DATA_BYTES: Final = 64 * 1024  # in UTF-8; what GuestConfig and the column hold
MAX_SSH_KEYS: Final = 32  # per VM
MAX_ROUTES: Final = 64  # per VM
MAX_DNS: Final = 8  # per VM
MAX_NAME_CHARS: Final = 255  # hard length; the real limit (63) is a rule of validate
MAX_LABEL_CHARS: Final = 100
MAX_DRAWN_CHARS: Final = 255  # text at a node of an older drawing, with its line breaks
MAX_NODE_ID_CHARS: Final = 64
MAX_NODE_ID: Final = 2**53  # the largest integer that a browser still tells from its neighbour
MAX_ADDRESS_CHARS: Final = 64
MAX_SSH_KEY_CHARS: Final = 8192
MAX_INT: Final = 2**31 - 1  # an INTEGER column
MAX_COORDINATE: Final = 1_000_000.0  # canvas units either way from the origin
MAX_PROBLEMS: Final = 1000  # per answer; the rest is counted
MAX_FIELDS: Final = 64  # of one object: more cannot be a slip of the pen

DEFAULT_MTU: Final = 1500


def _storable(text: str) -> str:
    # PostgreSQL refuses U+0000 in text and JSON, SQLite does not: without this, the store would decide.
    if "\x00" in text:
        raise PydanticCustomError("nul_character", "The text must not contain a NUL character.")
    return text


def _within_user_data(text: str) -> str:
    if len(text.encode()) > MAX_USER_DATA_BYTES:
        raise PydanticCustomError("too_large", "user_data may have at most 65536 bytes.")
    return text


# Strict, because the lax mode of pydantic takes "2", 2.0 and true for 2, and bytes for text: a document would read
# differently after it was saved.
_Name = Annotated[
    str, Field(strict=True, max_length=MAX_NAME_CHARS), BeforeValidator(all_composed), AfterValidator(_storable)
]
_Label = Annotated[
    str, Field(strict=True, max_length=MAX_LABEL_CHARS), BeforeValidator(all_composed), AfterValidator(_storable)
]
_Address = Annotated[str, Field(strict=True, max_length=MAX_ADDRESS_CHARS), AfterValidator(_storable)]
_SshKey = Annotated[str, Field(strict=True, max_length=MAX_SSH_KEY_CHARS), AfterValidator(_storable)]
# The limit in characters is only there because pydantic looks for lone surrogates when it counts them.
_UserData = Annotated[
    str,
    Field(strict=True, max_length=MAX_USER_DATA_BYTES),
    AfterValidator(_storable),
    AfterValidator(_within_user_data),
]
_Drawn = Annotated[str, Field(strict=True, max_length=MAX_DRAWN_CHARS), AfterValidator(_storable)]
_NodeId = (
    Annotated[int, Field(strict=True, ge=-MAX_NODE_ID, le=MAX_NODE_ID)]
    | Annotated[str, Field(strict=True, min_length=1, max_length=MAX_NODE_ID_CHARS), AfterValidator(_storable)]
)
_Int = Annotated[int, Field(strict=True, ge=-MAX_INT, le=MAX_INT)]
_Bool = Annotated[bool, Field(strict=True)]
_Coordinate = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-MAX_COORDINATE, le=MAX_COORDINATE)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Route(_Part):
    """A static route of a guest: prefix ``to`` (``10.0.2.0/24``) by next hop ``via`` (``10.0.1.1``)."""

    to: _Address
    via: _Address


def _is_none(value: object) -> bool:
    return value is None


class DrawnNode(_Part):
    """What somebody typed of a VM in a drawing of the older ``cloud`` editor, which comes back as it was.

    Attributes:
        id: of the node, as it was typed: a text of 1..64 characters or a whole number.
        label: text at the node, which may have several lines; None for the label of the VM.
        label_of: label or name of the VM that ``label`` was typed for; it is dropped once the VM has another.
        os: word for the image, in lower case; None for the name of the image.
        os_of: name of the image that ``os`` was taken for; it is dropped once the VM has another.
    """

    id: _NodeId
    label: _Drawn | None = Field(default=None, exclude_if=_is_none)
    label_of: _Name | None = Field(default=None, exclude_if=_is_none)
    os: _Name | None = Field(default=None, exclude_if=_is_none)
    os_of: _Name | None = Field(default=None, exclude_if=_is_none)


class TemplateVm(_Part):
    """A drawn VM.

    Attributes:
        name: RFC 1123 label, also its host name.
        label: what to show instead of the name, at most 100 characters; None shows the name.
        image: name of an image.
        flavour: name of a flavour, or None when the three sizes are all given.
        vcpus: 1..128; overrides the flavour.
        memory_mib: 64..1048576 MiB; overrides the flavour.
        disk_gib: 1..16384 GiB; overrides the flavour.
        public_access: gets one more NIC (the last) on the NAT network.
        forward: the guest forwards IPv4 packets (a router).
        user_data: script (``#!``) or ``#cloud-config``, at most 64 KiB; None or blank for none.
        ssh_keys: authorised keys, one line each.
        gateway: IPv4 address of the default route; None leaves it to DHCP.
        routes: further routes.
        dns: IPv4 addresses of resolvers.
        x: place on the canvas.
        y: place on the canvas, growing downwards.
        node: what an older drawing says of it; left out where there is none.
    """

    name: _Name
    label: _Label | None = None
    image: _Name
    flavour: _Name | None = None
    vcpus: _Int | None = None
    memory_mib: _Int | None = None
    disk_gib: _Int | None = None
    public_access: _Bool = False
    forward: _Bool = False
    user_data: _UserData | None = None
    ssh_keys: Annotated[tuple[_SshKey, ...], Field(max_length=MAX_SSH_KEYS)] = ()
    gateway: _Address | None = None
    routes: Annotated[tuple[Route, ...], Field(max_length=MAX_ROUTES)] = ()
    dns: Annotated[tuple[_Address, ...], Field(max_length=MAX_DNS)] = ()
    x: _Coordinate = 0.0
    y: _Coordinate = 0.0
    node: DrawnNode | None = Field(default=None, exclude_if=_is_none)


class TemplateNetwork(_Part):
    """A drawn LAN segment; ``mtu`` in bytes (576..9000) is that of the segment."""

    name: _Name
    mtu: _Int = DEFAULT_MTU
    x: _Coordinate = 0.0
    y: _Coordinate = 0.0


class VmEnd(_Part):
    """The end of an edge at a VM: a NIC, with its IPv4 address and prefix or None."""

    vm: _Name
    address: _Address | None = None


class NetworkEnd(_Part):
    """The end of an edge at a network."""

    network: _Name


def _end_tag(value: object) -> str:
    # A plain union would report the problems of both kinds of end for every slip in one of them.
    if isinstance(value, Mapping):
        return "network_end" if "network" in value and "vm" not in value else "vm_end"
    return "network_end" if isinstance(value, NetworkEnd) else "vm_end"


End = Annotated[
    Annotated[VmEnd, Tag("vm_end")] | Annotated[NetworkEnd, Tag("network_end")],
    Discriminator(_end_tag),
]


class TemplateEdge(_Part):
    """A cable between two VMs, or from a VM to a network.

    Attributes:
        name: for people; None lets the plan name it after its ends.
        a: one end.
        b: the other end.
        mtu: bytes, 576..9000; None means that of the network, or 1500 between two VMs.
        id: of the edge in an older drawing, as it was typed; left out where there is none.
    """

    name: _Name | None = None
    a: End
    b: End
    mtu: _Int | None = None
    id: _NodeId | None = Field(default=None, exclude_if=_is_none)


class TopologyDocument(_Part):
    """A whole topology. The order counts: NICs are numbered in the order of the edges."""

    vms: Annotated[tuple[TemplateVm, ...], Field(max_length=MAX_VMS)] = ()
    networks: Annotated[tuple[TemplateNetwork, ...], Field(max_length=MAX_NETWORKS)] = ()
    edges: Annotated[tuple[TemplateEdge, ...], Field(max_length=MAX_EDGES)] = ()


def place(*parts: str | int) -> str:
    """Write a path as problems name it, e.g. ``vms[2].disk_gib``; foreign keys are cut at 64 characters."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            # A lone surrogate in a key could not be written into the answer.
            name = part[:64].encode("utf-8", "replace").decode()
            text += f".{name}" if text else name
    return text or "document"


def parse_document(raw: object) -> TopologyDocument:
    """Read a template document from decoded JSON or YAML.

    Args:
        raw: the decoded value; anything.

    Raises:
        ParcelaError: TOO_LARGE ``template_too_large`` when a list or user_data is over its limit (found by counting,
            before any item is read), INVALID ``template_invalid`` otherwise. Both carry all problems with their places.
    """
    oversized = _capped(list(_oversized(raw)))
    if oversized:
        message = "The template is larger than allowed."
        raise ParcelaError(ErrorKind.TOO_LARGE, "template_too_large", message, problems=oversized)
    try:
        return TopologyDocument.model_validate(raw)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        raise template_invalid([_problem(detail) for detail in details]) from None


def template_invalid(problems: Sequence[Problem], message: str = "The template document is not valid.") -> ParcelaError:
    """Build the error of a template document that cannot be used, with all that is wrong."""
    return invalid("template_invalid", message, *_capped(problems))


def dump_document(document: TopologyDocument) -> dict[str, Any]:
    """Write a document as JSON values; ``parse_document`` reads the same document back."""
    return document.model_dump(mode="json")


def _capped(problems: Sequence[Problem]) -> Sequence[Problem]:
    if len(problems) <= MAX_PROBLEMS:
        return problems
    rest = len(problems) - MAX_PROBLEMS
    return [*problems[:MAX_PROBLEMS], Problem("document", f"There are {rest} more problems.", "more_problems")]


def _oversized(raw: object) -> Iterator[Problem]:
    """Find what is over a limit, by counting only: at most 1400 items are looked at, none of them in full."""
    if not isinstance(raw, Mapping):
        return
    yield from _too_many(raw, {"vms": MAX_VMS, "networks": MAX_NETWORKS, "edges": MAX_EDGES})
    vms = raw.get("vms")
    if not isinstance(vms, list | tuple):
        return
    for index, vm in enumerate(vms[:MAX_VMS]):
        if not isinstance(vm, Mapping):
            continue
        yield from _too_many(vm, {"ssh_keys": MAX_SSH_KEYS, "routes": MAX_ROUTES, "dns": MAX_DNS}, "vms", index)
        user_data = vm.get("user_data")
        # Characters are never more than bytes, so this only spares the encoding of what is hopeless.
        if isinstance(user_data, str) and len(user_data) > MAX_USER_DATA_BYTES:
            what = f"user_data may have at most {MAX_USER_DATA_BYTES} bytes."
            yield Problem(place("vms", index, "user_data"), what, "too_large")


def _too_many(raw: Mapping[Any, Any], limits: Mapping[str, int], *parents: str | int) -> Iterator[Problem]:
    if len(raw) > MAX_FIELDS:
        yield Problem(place(*parents), f"The object has {len(raw)} fields; at most {MAX_FIELDS} are read.", "too_many")
    for field, limit in limits.items():
        items = raw.get(field)
        if isinstance(items, list | tuple) and len(items) > limit:
            what = f"There are {len(items)}; at most {limit} are allowed."
            yield Problem(place(*parents, field), what, "too_many")


# Codes of pydantic are not ours to promise, and its sentences speak of tuples and instances of our classes.
_TRANSLATED: Final = {
    "missing": ("missing", "The field is missing."),
    "extra_forbidden": ("unknown_field", "There is no such field here."),
    "string_unicode": ("wrong_type", "This must be Unicode text."),
    "string_type": ("wrong_type", "This must be text."),
    "int_type": ("wrong_type", "This must be a whole number."),
    "float_type": ("wrong_type", "This must be a number."),
    "bool_type": ("wrong_type", "This must be true or false."),
    "tuple_type": ("wrong_type", "This must be a list."),
    "model_type": ("wrong_type", "This must be an object."),
    "dict_type": ("wrong_type", "This must be an object."),
    "invalid_key": ("wrong_type", "The keys of an object must be text."),
}
_CODES: Final = {"nul_character": "nul_character", "too_large": "too_large", "string_too_long": "too_long"}


def _problem(detail: ErrorDetails) -> Problem:
    parts = list(detail["loc"])
    # The tag of the union is no part of the document: edges[0].a.vm_end.vm -> edges[0].a.vm
    if len(parts) > 3 and parts[0] == "edges" and parts[3] in {"vm_end", "network_end"}:
        del parts[3]
    kind = detail["type"]
    message = detail["msg"]
    what = message if message.endswith(".") else f"{message}."
    code, what = _TRANSLATED.get(kind, (_CODES.get(kind, "invalid"), what))
    return Problem(place(*parts), what, code)
