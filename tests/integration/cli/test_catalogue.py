"""Zones, flavours, hosts, images and templates."""

import hashlib
import json
import lzma
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Server, done
from tests.unit.cli.support import run

DOCUMENT = {
    "vms": [{"name": "a", "image": "tiny", "flavour": "tiny"}, {"name": "b", "image": "tiny", "flavour": "tiny"}],
    "networks": [],
    "edges": [{"a": {"vm": "a"}, "b": {"vm": "b"}}],
}
CLOUD = {
    "topologia": {"nodes": [{"id": "1", "label": "pc", "x": 0, "y": 0}], "edges": []},
    "recursos": {"1": {"name": "pc", "vcpu": 1, "ram_gb": 1, "disk_gb": 2, "os": "tiny", "flavour": "nano"}},
    "subred": {"public_access": ["1"]},
}


def test_machines(admin: Server) -> None:
    made = done(run("machine", "add", "cli-1", "--type", "PC", "--area", "Attic", "--status", "damaged", "--json")).json
    assert (made["code"], made["status"]) == ("CLI-1", "damaged")
    assert run("machine", "add", "Cli-1", "--type", "PC", "--json").problem["code"] == "machine_exists"
    assert run("machine", "add", "a/b", "--type", "PC").code == 6
    done(run("machine", "add", "cli-2", "--type", "Printer"))
    listed = done(run("machine", "list", "--area", "attic", "--json")).json
    assert [row["code"] for row in listed] == ["CLI-1"]
    assert "CLI-2" in done(run("machine", "list", "--type", "printer")).out
    assert "No machines." in done(run("machine", "list", "--archived")).err
    assert "Attic" in done(run("machine", "show", "cli-1")).out
    assert done(run("machine", "show", str(made["id"]), "--json")).json == made
    assert run("machine", "show", "cli-9").code == 4


def test_zones_and_hosts(admin: Server) -> None:
    done(run("zone", "add", "annex", "--provider", "simulated"))
    assert run("zone", "add", "annex", "--provider", "simulated", "--json").problem["status"] == 409
    assert run("zone", "add", "other", "--provider", "vmware").code == 6
    host = done(
        run("host", "add", "annex-1", "--zone", "annex", "--vcpus", "4", "--ram", "4096", "--disk", "50", "--json")
    ).json
    assert (host["zone"], host["vcpus"]) == ("annex", 4)
    changed = done(run("host", "set", "annex-1", "--state", "draining", "--memory-overcommit", "1.5", "--json")).json
    assert (changed["state"], changed["memory_limit_mib"]) == ("draining", 6144)
    assert run("host", "set", "annex-1").code == 2
    assert run("host", "set", "annex-1", "--state", "asleep").code == 6
    assert "annex-1" in done(run("host", "list", "--state", "draining")).out
    assert "draining" in done(run("host", "show", str(host["id"]))).out
    assert run("zone", "delete", "annex").code == 5
    done(run("host", "delete", "annex-1"))
    done(run("zone", "set", "annex", "--name", "attic"))
    assert run("zone", "set", "attic").code == 2
    done(run("zone", "delete", "attic"))
    assert "annex" not in done(run("zone", "list")).out


def test_flavours(admin: Server) -> None:
    done(run("flavour", "add", "odd", "--vcpus", "3", "--ram", "300", "--disk", "7"))
    rows = {row["name"]: row for row in done(run("flavour", "list", "--json")).json}
    assert (rows["odd"]["vcpus"], rows["odd"]["memory_mib"], rows["odd"]["disk_gib"]) == (3, 300, 7)
    done(run("flavour", "delete", "odd"))
    assert run("flavour", "delete", "odd", "--json").problem["code"] == "flavour_not_found"


def test_what_templates_use_is_renamed_and_removed(admin: Server, tmp_path: Path) -> None:
    disk = tmp_path / "course.raw"
    disk.write_bytes(bytes([0] * 510 + [0x55, 0xAA]) + bytes(1024 * 1024 - 512))
    image = done(run("image", "upload", str(disk), "--public", "--json")).json
    done(run("flavour", "add", "course-size", "--vcpus", "1", "--ram", "128", "--disk", "1"))
    topology = {"vms": [{"name": "pc", "image": "course", "flavour": "course-size"}], "networks": [], "edges": []}
    saved = done(run("template", "apply", "-", "--name", "course", "--json", stdin=json.dumps(topology))).json
    done(run("image", "set", "course", "--name", "course 2", "--os-version", "Course 2"))
    resized = done(run("flavour", "set", "course-size", "--name", "course-large", "--ram", "256", "--json")).json
    assert (resized["vcpus"], resized["memory_mib"]) == (1, 256)
    assert run("image", "set", "course 2").code == 2
    shown = done(run("template", "show", "course", "--json")).json["document"]["vms"][0]
    assert (shown["image"], shown["flavour"]) == ("course 2", "course-large")
    made = done(run("slice", "deploy", "course", "--name", "course", "--json")).json
    assert [(vm["os"], vm["flavour"], vm["ram"]) for vm in made["vms"]] == [("course 2", "course-large", 256)]
    done(run("slice", "destroy", "course", "--yes"))
    done(run("template", "export", "course", "-o", "course.json"))
    assert "is unchanged" in done(run("template", "apply", "course.json", "--name", "course")).out

    refused = run("image", "delete", "course 2", "--yes", "--json")
    assert (refused.code, refused.problem["code"]) == (5, "image_in_use")
    assert refused.problem["problems"][0]["where"] == f"templates[{saved['id']}]"
    assert "The template 'course' uses it." in run("flavour", "delete", "course-large", "--yes").err
    done(run("flavour", "delete", "course-large", "--yes", "--force"))
    done(run("image", "delete", f"#{image['id']}", "--yes", "--force"))
    gone = run("slice", "deploy", "course")
    assert gone.code == 6
    assert "The image 'course 2' of the VM 'pc' does not exist any more." in gone.err.replace("\n", " ")
    done(run("template", "delete", "course", "--yes"))


def test_images(admin: Server, tmp_path: Path) -> None:
    file = tmp_path / "tool.iso"
    content = bytearray(3 * 1024 * 1024)
    content[0x8000:0x8006] = b"\x01CD001"
    file.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    made = done(run("image", "upload", str(file), "--os-version", "Tool 1", "--public", "--json")).json
    assert (made["name"], made["format"], made["sha256"], made["size_bytes"]) == ("tool", "iso", digest, len(content))
    assert run("image", "upload", str(file)).code == 5
    assert (
        run("image", "upload", str(file), "--name", "other", "--sha256", "0" * 64, "--json").problem["code"]
        == "sha256_differs"
    )
    assert run("image", "upload", str(tmp_path / "missing")).code == 2
    assert "Tool 1" in done(run("image", "list")).out
    assert digest in done(run("image", "show", "tool")).out
    done(run("image", "delete", "tool"))
    assert run("image", "show", "tool").code == 4


def test_a_packed_image(admin: Server, tmp_path: Path) -> None:
    """Its digest is that of the packed file, and its name has neither of the two endings."""
    content = b"\0" * 510 + b"\x55\xaa"
    file = tmp_path / "small.img.xz"
    file.write_bytes(lzma.compress(content))
    made = done(run("image", "upload", str(file), "--json")).json
    assert (made["name"], made["source_format"]) == ("small", "raw.xz")
    assert (made["sha256"], made["source_sha256"]) == tuple(
        hashlib.sha256(data).hexdigest() for data in (content, file.read_bytes())
    )
    assert made["source_sha256"] in done(run("image", "show", "small")).out
    done(run("image", "delete", "small"))
    file.write_bytes(file.read_bytes()[:-4])
    refused = run("image", "upload", str(file))
    assert refused.code == 6
    assert "is cut off" in refused.err


def test_images_that_are_on_the_server(admin: Server) -> None:
    folder = admin.data_dir / "import"
    folder.mkdir(exist_ok=True)
    content = bytearray(1024 * 1024)
    content[0x8000:0x8006] = b"\x01CD001"
    (folder / "copied.iso").write_bytes(content)
    assert done(run("image", "import", str(folder / "copied.iso"), "--json")).json["name"] == "copied"
    assert run("image", "import", "/nowhere.iso").code in {4, 6}
    done(run("image", "delete", "copied"))


def test_templates_are_applied_again_and_again(admin: Server, tmp_path: Path) -> None:
    file = tmp_path / "pair.yaml"
    file.write_text(json.dumps(DOCUMENT))
    assert done(run("template", "validate", str(file), "--json")).json["valid"]
    first = done(run("template", "apply", str(file), "--description", "Two", "--public", "--json")).json
    assert (first["name"], first["version"], first["visibility"]) == ("pair", 1, "public")
    assert "is unchanged (version 1)" in done(run("template", "apply", str(file))).out
    file.write_text(json.dumps(DOCUMENT | {"edges": []}))
    again = done(run("template", "apply", str(file), "--json")).json
    assert (again["id"], again["version"], again["description"], again["visibility"]) == (
        first["id"],
        2,
        "Two",
        "public",
    )
    native = json.loads(done(run("template", "export", "pair", "--version", "1")).out)
    assert native["name"] == "pair"
    assert len(native["document"]["edges"]) == 1
    done(run("template", "export", "pair", "-o", "copy.yaml"))
    assert "is unchanged" in done(run("template", "apply", "copy.yaml")).out
    assert "pair" in done(run("template", "show", "pair")).out
    done(run("template", "delete", "pair"))
    assert run("template", "show", "pair").code == 4


def test_the_older_cloud_document(admin: Server) -> None:
    saved = done(run("template", "apply", "-", "--name", "old", "--json", stdin=json.dumps(CLOUD))).json
    assert saved["document"]["vms"][0]["public_access"] is True
    again = json.loads(done(run("template", "export", "old", "--format", "cloud")).out)
    assert again["recursos"]["1"]["name"] == "pc" or len(again["recursos"]) == 1
    done(run("template", "validate", "-", stdin=json.dumps(CLOUD)))
    broken = run("template", "apply", "-", "--json", stdin=json.dumps({"topologia": {"nodes": 3}}))
    assert broken.code == 6
    assert broken.problem["problems"]
    done(run("template", "delete", "old"))


@pytest.mark.parametrize("text", ["[]", "vms: [{name: 'x y', image: nope}]", "{"])
def test_what_is_no_template(admin: Server, text: str) -> None:
    refused = run("template", "validate", "-", "--json", stdin=text)
    assert refused.code == 6
    assert refused.out == ""
    assert refused.problem["code"] in {"template_invalid", "file_malformed"}
