"""Words with accents, as people type them: found, ordered and unique in the same way on every kind of database."""

import unicodedata
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.http import inventory
from tests.integration.http.lab import ONE_VM, Lab, make_settings, open_lab
from tests.support.fixtures import SERVERS
from tests.support.servers import make_template, why_missing

pytestmark = pytest.mark.anyio
WORDS = ["_x", "10", "9", "a b", "a-b", "ab", "Abaco", "ábaco", "Ábaco", "Ábacos", "ano", "año", "Árbol", "nube", "nz"]
WORDS += ["ñandú", "Ñandú", "Ñuñoa", "oca", "señal", "SEÑALIZACIÓN", "vm-10", "vm-2", "Zulú", "Ωmega"]
"""In the order in which a Spanish dictionary and ICU have them."""


async def _nothing(_url: str) -> None:
    """The application furnishes itself."""


@pytest.fixture(scope="module", params=SERVERS)
async def lab(
    request: pytest.FixtureRequest, schema: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[Lab]:
    if reason := why_missing(request.param):
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("words")
    values: dict[str, Any] = {}
    template = None
    if request.param != "sqlite":
        template = make_template(request.param, folder / "template", _nothing)
        values["DATABASE_URL"] = url = template.clone(folder)
    async with open_lab(make_settings(folder / "lab", schema, **values)) as made:
        yield made
    if template is not None:
        template.drop(url)
        template.close()


def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


async def pages(lab: Lab, path: str, **params: Any) -> list[dict[str, Any]]:
    """All rows, four in a page."""
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        asked = {"limit": 4, **params} | ({"cursor": cursor} if cursor else {})
        answer = await lab.call("GET", path, "admin", params=asked)
        assert answer.status_code == 200, answer.text
        rows += answer.json()["items"]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return rows


async def make_project(lab: Lab, name: str) -> None:
    await lab.make("/projects/", "admin", json={"name": name})


async def make_template_(lab: Lab, name: str) -> None:
    await lab.template(name=name)


async def make_slice(lab: Lab, name: str) -> None:
    made = await lab.template()
    await lab.make("/slices/", json={"template_id": made["id"], "name": name})


async def make_vm(lab: Lab, name: str) -> None:
    body = {"name": lab.unique("vm"), "label": name, "os": "tiny", "flavour": "tiny"}
    await lab.make("/virtual-machines/", json=body)
    await lab.settle()


async def make_person(lab: Lab, name: str) -> None:
    await lab.user(full_name=name)


async def make_area(lab: Lab, name: str) -> None:
    await inventory.machine(lab, area=name)


async def make_type(lab: Lab, name: str) -> None:
    await inventory.machine(lab, type=name)


async def make_plan(lab: Lab, name: str) -> None:
    await inventory.plan(lab, title=name)


LISTS = {
    "projects": ("/projects/", "name", make_project),
    "templates": ("/templates/", "name", make_template_),
    "slices": ("/slices/", "name", make_slice),
    "labels": ("/virtual-machines/", "label", make_vm),
    "people": ("/users/", "full_name", make_person),
    "areas": ("/machines/", "area", make_area),
    "types": ("/machines/", "type", make_type),
    "plans": ("/maintenance-plans/", "title", make_plan),
}


@pytest.mark.parametrize("noun", LISTS)
async def test_every_list_is_in_the_order_of_people_page_by_page(lab: Lab, noun: str) -> None:
    path, field, make = LISTS[noun]
    # Projects are unique whatever their case.
    words = [word for word in WORDS if noun != "projects" or word not in {"Ábaco", "Ñandú"}]
    for word in sorted(words, key=lambda word: word[::-1]):
        await make(lab, decomposed(word) if word in {"año", "Árbol"} else word)
    for sort in (field, f"-{field}"):
        rows = await pages(lab, path, sort=sort)
        assert len({row["id"] for row in rows}) == len(rows)
        wanted = words if sort == field else words[::-1]
        assert [row[field] for row in rows if row[field] in words] == wanted


async def test_search_ignores_case_and_accents(lab: Lab) -> None:
    notes = "Panel con señalizadores 100% de_aula"
    made = await inventory.machine(lab, notes=notes)
    record = await inventory.record(lab, machine_id=made["id"], notes=notes)
    for asked in ("SEÑALIZADORES", "senalizador", "Señalizado", decomposed("señalizador"), "ñALIZADORES  100% DE_"):
        for path, row in (("/machines/", made), ("/maintenance-records/", record)):
            assert [found["id"] for found in await pages(lab, path, search=asked)] == [row["id"]], asked
    changed = {"notes": "Proyector averiado, señal débil"}
    answer = await lab.call("PATCH", f"/maintenance-records/{record['id']}", "admin", json=changed)
    assert answer.status_code == 200, answer.text
    assert (await lab.call("PATCH", f"/machines/{made['id']}", "admin", json=changed)).status_code == 200
    for path in ("/machines/", "/maintenance-records/"):
        assert len(await pages(lab, path, search="SENAL DEBIL")) == 1
        assert await pages(lab, path, search="señalizador") == []


@pytest.mark.parametrize("asked", ["se%al", "se_al", "señal\\", "%", "\u0301"])
async def test_signs_of_patterns_are_only_signs(lab: Lab, asked: str) -> None:
    made = await inventory.machine(lab, serial="la señal")
    assert made["id"] not in [row["id"] for row in await pages(lab, "/machines/", search=asked)]


async def test_filters_by_area_company_and_technician_ignore_case_and_accents(lab: Lab) -> None:
    made = await inventory.machine(lab, area="Ingeniería Mecánica")
    assert [row["id"] for row in await pages(lab, "/machines/", area="INGENIERIA MECÁNICA")] == [made["id"]]
    assert await pages(lab, "/machines/", area="Ingeniería") == []
    record = await inventory.record(lab, machine_id=made["id"], company="Informática Núñez", technician="Iñaki")
    for params in ({"company": "INFORMÁTICA NUNEZ"}, {"technician": "IÑAKI"}, {"technician": "inaki"}):
        assert [row["id"] for row in await pages(lab, "/maintenance-records/", **params)] == [record["id"]]


async def test_people_are_found_by_the_beginning_of_their_names(lab: Lab) -> None:
    made = await lab.user(full_name="Íñigo Peña")
    assert [row["id"] for row in await pages(lab, "/users/", q="INIGO PE")] == [made["id"]]
    assert [row["id"] for row in await pages(lab, "/users/", q=made["username"].upper())] == [made["id"]]


async def test_usernames_with_signs_have_one_order(lab: Lab) -> None:
    names = ["w_x", "w-x", "w.x", "w1", "wx", "wx-"]
    project = await lab.make("/projects/", "admin", json={"name": "Signs"})
    for name in reversed(names):
        await lab.user(username=name)
        await lab.make(f"/projects/{project['id']}/members", "admin", json={"user": name, "role": "viewer"})
    rows = await pages(lab, "/users/", sort="username", q="w")
    assert [row["username"] for row in rows if row["username"] in names] == names
    members = (await lab.call("GET", f"/projects/{project['id']}/members", "admin")).json()
    assert [member["username"] for member in members if member["username"] in names] == names


async def test_the_actor_of_an_audit_entry_is_found_whatever_the_case(lab: Lab) -> None:
    found = [await pages(lab, "/audit", actor=name, action="project.created") for name in ("admin", "ADMIN")]
    assert found[0] == found[1]
    assert found[0] != []


async def test_another_spelling_of_a_name_is_the_same_name(lab: Lab) -> None:
    await make_project(lab, "Diseño Gráfico")
    for twin in (
        decomposed("Diseño Gráfico"),
        "DISEÑO GRÁFICO",
        decomposed("diseño gráfico"),
        "Diseño Gr\u00e1\uff46ico",
    ):
        assert (await lab.call("POST", "/projects/", "admin", json={"name": twin})).status_code == 409, twin
    await make_project(lab, "Diseno Grafico")
    assert len(await pages(lab, "/projects/", name=decomposed("DISEÑO gráfico"))) == 1


async def test_texts_come_back_in_one_form_whatever_form_they_came_in(lab: Lab) -> None:
    made = await lab.template(name=decomposed("Prácticas de Señales"), description=decomposed("año"))
    assert (made["name"], made["description"]) == ("Prácticas de Señales", "año")
    for form in ("Prácticas de Señales", decomposed("Prácticas de Señales")):
        assert [row["id"] for row in await pages(lab, "/templates/", name=form)] == [made["id"]]
    for other in ("Practicas de Senales", "prácticas de señales"):
        assert await pages(lab, "/templates/", name=other) == []
    # Its length is that of what is stored.
    name = "é" * 100
    long = await lab.template(name=decomposed(name))
    assert long["name"] == name
    assert [row["id"] for row in await pages(lab, "/templates/", name=decomposed(name))] == [long["id"]]


async def test_pages_go_on_behind_the_longest_names(lab: Lab) -> None:
    names = [sign * 200 for sign in ("日", "語", "🦜")]
    for name in names:
        await inventory.plan(lab, title=name)
    rows = await pages(lab, "/maintenance-plans/", sort="title", limit=1)
    assert sorted(row["title"] for row in rows if row["title"] in names) == sorted(names)


async def test_a_password_is_the_bytes_that_were_typed(lab: Lab) -> None:
    password = decomposed("contraseña muy larga")
    made = await lab.user(password=password)
    assert await lab.login(made["username"], password)
    answer = await lab.call(
        "POST", "/login", None, json={"email": made["username"], "password": "contraseña muy larga"}
    )
    assert answer.status_code == 401


async def test_a_document_is_composed_with_the_names_in_it(lab: Lab) -> None:
    document = {
        **ONE_VM,
        "vms": [{**ONE_VM["vms"][0], "label": decomposed("Señal"), "user_data": f"#!{decomposed('ñ')}"}],
    }
    made = await lab.template(document=document)
    stored = (await lab.call("GET", f"/templates/{made['id']}")).json()["document"]["vms"][0]
    assert (stored["label"], stored["user_data"]) == ("Señal", f"#!{decomposed('ñ')}")


async def test_two_keys_that_are_one_text_are_refused(lab: Lab) -> None:
    fields = {"año": "1", decomposed("año"): "2"}
    answer = await lab.call("POST", "/machines/", "admin", json={"code": "X-1", "type": "PC", "custom_fields": fields})
    assert (answer.status_code, "twice" in answer.text) == (422, True)
