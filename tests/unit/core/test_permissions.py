import pytest

from parcela.core.permissions import CLIENT_PERMISSIONS, Permission, grants, is_known


@pytest.mark.parametrize(
    ("held", "wanted", "granted"),
    [
        ({"vm:create"}, "vm:create", True),
        ({"vm:create"}, "vm:read_all", False),
        ({"vm:*"}, "vm:read_all", True),
        ({"vm:*"}, "vms:create", False),
        ({"vm:*"}, "slice:create", False),
        ({"*"}, "slice:create", True),
        ({"*"}, "*", True),
        ({"*"}, "vm:*", True),
        ({"vm:*"}, "vm:*", True),
        ({"vm:create", "vm:read_all", "vm:write_all"}, "vm:*", False),
        ({"vm:*"}, "*", False),
        ({"*:*"}, "vm:create", False),
        (set(), "vm:create", False),
    ],
)
def test_what_grants_what(held: set[str], wanted: str, granted: bool) -> None:
    assert grants(held, wanted) is granted


@pytest.mark.parametrize("right", [*Permission, "*", "vm:*", "catalogue:*"])
def test_known(right: str) -> None:
    assert is_known(right)


@pytest.mark.parametrize("right", ["", ":", "vm", "vm:", "vm:fly", "*:*", "*:read", "fly:*", "VM:create", "vm:create "])
def test_unknown(right: str) -> None:
    assert not is_known(right)


def test_all_have_the_same_form() -> None:
    for permission in Permission:
        noun, verb = permission.value.split(":")
        assert noun.isidentifier()
        assert verb.isidentifier()
        assert len(permission.value) <= 64, "the column"


def test_clients_hold_nothing_over_others() -> None:
    beyond = {right for right in CLIENT_PERMISSIONS if right.endswith(("_all", "write", "*"))}
    assert beyond == set()
