"""Projects: made, filled, limited, launched in, removed."""

from tests.integration.cli.conftest import Server, done
from tests.unit.cli.support import run

DOCUMENT = '{"vms": [{"name": "a", "image": "tiny", "flavour": "tiny"}]}'


def test_a_project_from_beginning_to_end(admin: Server) -> None:
    made = done(run("project", "create", "Networks", "--kind", "team", "--json")).json
    assert (made["name"], made["kind"]) == ("Networks", "team")
    assert run("project", "create", "networks").code == 5, "case makes no other name"
    added = done(run("project", "add-member", "NETWORKS", "admin", "--role", "manager", "--json")).json
    assert (added["username"], added["role"]) == ("admin", "manager")
    assert run("project", "add-member", "Networks", "nobody-there").code != 0
    assert "Networks" in done(run("project", "list")).out

    quota = done(run("project", "quota", "Networks", "--vcpus", "4", "--slices", "2", "--json")).json
    assert (quota["vcpus"]["limit"], quota["slices"]["limit"], quota["vms"]["limit"]) == (4, 2, None)
    quota = done(run("project", "quota", "Networks", "--slices", "none", "--json")).json
    assert (quota["vcpus"]["limit"], quota["slices"]["limit"]) == (4, None), "the others stay"
    assert run("project", "quota", "Networks", "--vcpus", "many").code == 2

    launched = done(run("slice", "deploy", "First lab", "--project", "Networks", "--name", "ours", "--json")).json
    assert launched["slice"]["project_id"] == made["id"]
    listed = done(run("slice", "list", "--project", "networks", "--json")).json
    assert [row["id"] for row in listed] == [launched["slice"]["id"]]
    listed = done(run("vm", "list", "--project", str(made["id"]), "--json")).json
    assert {row["slice_id"] for row in listed} == {launched["slice"]["id"]}
    assert run("vm", "list", "--project", "nothing").code == 4
    shown = done(run("project", "show", "Networks", "--json")).json
    assert [member["username"] for member in shown["members"]] == ["admin"]
    assert shown["quota"]["slices"]["used"] == 1
    assert "manager" in done(run("project", "show", str(made["id"]))).out
    assert run("project", "delete", "Networks", "--yes", "--json").problem["code"] == "project_in_use"

    done(run("slice", "destroy", "ours", "--yes"))
    done(run("project", "remove-member", "Networks", "admin", "--yes"))
    assert run("project", "remove-member", "Networks", "admin", "--yes", "--json").problem["code"] == "member_not_found"
    done(run("project", "delete", "Networks", "--yes"))
    assert "Networks" not in done(run("project", "list")).out
