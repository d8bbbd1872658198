"""Projects: made, filled, limited, launched in, removed."""

from pathlib import Path

from tests.integration.cli.conftest import Server, done
from tests.unit.cli.support import run

DOCUMENT = '{"vms": [{"name": "a", "image": "tiny", "flavour": "tiny"}]}'


def test_a_project_from_beginning_to_end(admin: Server, tmp_path: Path) -> None:
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
    quota = done(run("project", "quota", "Networks", "--images", "7", "--json")).json
    assert (quota["images_gib"]["own_limit"], quota["vcpus"]["limit"]) == (7, 4)
    assert run("project", "quota", "Networks", "--vcpus", "many").code == 2
    quota = done(run("user", "quota", "admin", "--images", "9", "--json")).json
    assert quota["images_gib"] == {"limit": 9, "own_limit": 9, "used": 0}
    quota = done(run("user", "quota", "admin", "--images", "none", "--json")).json
    assert quota["images_gib"]["own_limit"] is None
    assert "images_gib" in done(run("user", "quota", "admin")).out

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
    file = tmp_path / "class.iso"
    content = bytearray(1024 * 1024)
    content[0x8000:0x8006] = b"\x01CD001"
    file.write_bytes(content)
    assert run("image", "upload", str(file), "--project", "nothing").code == 4
    image = done(run("image", "upload", str(file), "--project", "networks", "--json")).json
    assert (image["name"], image["project_id"]) == ("class", made["id"])
    assert done(run("project", "quota", "Networks", "--json")).json["images_gib"]["used"] == 1
    done(run("image", "delete", "class", "--yes"))

    done(run("slice", "destroy", "ours", "--yes"))
    done(run("project", "remove-member", "Networks", "admin", "--yes"))
    assert run("project", "remove-member", "Networks", "admin", "--yes", "--json").problem["code"] == "member_not_found"
    done(run("project", "delete", "Networks", "--yes"))
    assert "Networks" not in done(run("project", "list")).out


def test_people_are_invited_by_their_address(admin: Server, tmp_path: Path) -> None:
    done(run("project", "create", "Guests"))
    file = tmp_path / "class.csv"
    file.write_text("email,role\nana@class.example\nluis@class.example,viewer\n")
    assert done(run("project", "invite", "Guests", "--csv", str(file), "--json")).json == {"invited": 2}
    assert "1 address(es)" in done(run("project", "invite", "guests", "admin@parcela.local", "--role", "manager")).out
    shown = done(run("project", "members", "Guests", "--json")).json
    assert shown["members"] == []
    assert {row["email"]: row["role"] for row in shown["invitations"]} == {
        "ana@class.example": "member",
        "luis@class.example": "viewer",
        "admin@parcela.local": "manager",
    }
    assert "luis@class.example" in done(run("project", "members", "Guests")).out
    done(run("project", "withdraw", "Guests", "Luis@class.example"))
    assert run("project", "withdraw", "Guests", "luis@class.example").code == 4
    assert run("project", "invite", "Guests").code == 2
    assert run("project", "invite", "Guests", "not an address").code == 6
    done(run("project", "add-member", "Guests", "admin"))
    assert run("project", "accept", "Guests").code == 4, "who adds themselves has opened it"
    assert "no project" in done(run("project", "invitations")).err
    done(run("project", "leave", "Guests", "--yes"))
    done(run("project", "delete", "Guests", "--yes"))
