"""The browser of ``cloud``, written from its pages request by request: forms, links, and what their scripts fetch.

The scripts read the fields that the pages' code reads, and fail where one is missing. Nothing of the server is
imported.
"""

from datetime import datetime
from typing import Any

import httpx2

from tests.compat.cloud_canvas import Canvas, read

TIMEOUT_S = 60
COLOURS = {"RUNNING": "green", "STOPPED": "grey"}
NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "navigate",
}
"""What a browser says when a person follows a link or sends a form."""
FETCH = {"Accept": "*/*", "Accept-Language": "en", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
"""What it says when a script of a page fetches something."""


class RefusedError(AssertionError):
    """What the page shows instead: the ``detail`` of an answer that is not ok."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        (self.detail,) = read(body, "detail")
        super().__init__(f"{status} {self.detail}")
        self.status = status
        self.body = body


def moment(text: str | None) -> datetime | None:
    """A time as scripts read it."""
    return None if text is None else datetime.fromisoformat(text)


class CloudBrowser:
    """A person's browser at the older pages: a cookie jar, forms, links, scripts with ``credentials: include``."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=TIMEOUT_S, follow_redirects=True)
        self._origin = {"Origin": url}

    @property
    def cookies(self) -> httpx2.Cookies:
        return self._http.cookies

    def close(self) -> None:
        self._http.close()

    # ---- navigation

    def open(self, path: str) -> httpx2.Response:
        """A link; the page it ends at."""
        return self._http.get(path, headers=NAVIGATION)

    def submit(self, path: str, **form: str) -> httpx2.Response:
        """A form; the page it ends at. ``history`` has the redirects."""
        return self._http.post(path, data=form, headers=NAVIGATION | self._origin)

    def register(self, full_name: str, email: str, password: str) -> httpx2.Response:
        form = {"full_name": full_name, "email": email, "password": password, "password2": password}
        return self.submit("/auth/register", **form)

    def login(self, email: str, password: str) -> httpx2.Response:
        return self.submit("/auth/login", email=email, password=password)

    def logout(self) -> httpx2.Response:
        return self.open("/auth/logout")

    # ---- scripts

    def fetch(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
        """One request of a script; the answer as it is."""
        more = {} if method == "GET" else self._origin
        options: dict[str, Any] = {} if body is None else {"json": body}
        return self._http.request(method, path, headers=FETCH | more | (headers or {}), **options)

    def _json(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
        answer = self.fetch(method, path, body, headers)
        if not answer.is_success:
            raise RefusedError(answer.status_code, answer.json())
        return answer.json()

    def flavours(self) -> dict[str, tuple[Any, ...]]:
        """The form's sizes."""
        rows = self._json("GET", "/flavours")
        assert isinstance(rows, list)
        assert all(isinstance(row["flavour_id"], int) for row in rows)
        return {row["name"]: read(row, "name", "vcpu", "ram_gb", "disk_gb")[1:] for row in rows}

    def save(self, name: str, canvas: Canvas, description: str = "") -> int:
        """Save a drawing; the page then shows the list, where it is the first."""
        saved = self._json(
            "POST", "/templates/guardar", {"slice_name": name, "description": description} | canvas.body()
        )
        assert saved["success"] is True
        assert saved["message"]
        assert self.templates()[0]["template_id"] == saved["template_id"]
        return int(saved["template_id"])

    def templates(self) -> list[dict[str, Any]]:
        """The page with all templates."""
        rows = self._json("GET", "/templates/mostrar_plantilla")
        assert isinstance(rows, list)
        for row in rows:
            *texts, vms, vcpus, ram, disk = read(
                row, "name", "description", "created_at", "vm_count", "sum_vcpu", "sum_ram_gb", "sum_disk_gb"
            )
            assert all(isinstance(text, str) for text in texts)
            assert all(isinstance(number, int) for number in (row["template_id"], vms, vcpus))
            assert all(isinstance(number, int | float) for number in (ram, disk))
            assert moment(row["created_at"])
            moment(read(row, "updated_last_at")[0])
        made = [datetime.fromisoformat(row["created_at"]) for row in rows]
        assert made == sorted(made, reverse=True), "the newest stands first"
        return rows

    def template(self, template_id: int) -> dict[str, Any]:
        """The page of one: it draws the document."""
        row: dict[str, Any] = self._json("GET", f"/templates/{template_id}")
        read(row, "name", "description", "updated_last_at", "json_template", "sum_vcpu", "sum_ram_gb", "sum_disk_gb")
        assert row["template_id"] == template_id
        assert moment(row["created_at"])
        Canvas.load(row["json_template"])
        return row

    def change(self, template_id: int, **body: Any) -> dict[str, Any]:
        """Save in the editor; what is not changed is sent as null."""
        sent = {"name": None, "description": None, "json_template": None} | body
        answer: dict[str, Any] = self._json("PUT", f"/templates/{template_id}", sent)
        assert (answer["success"], answer["template_id"]) == (True, template_id)
        return answer

    def remove(self, template_id: int) -> None:
        answer = self._json("DELETE", f"/templates/{template_id}")
        assert (answer["success"], answer["template_id"]) == (True, template_id)

    def export(self, template_id: int) -> bytes:
        """The file that is downloaded."""
        answer = self.fetch("GET", f"/templates/{template_id}/export")
        if not answer.is_success:
            raise RefusedError(answer.status_code, answer.json())
        assert answer.headers["content-disposition"].startswith("attachment")
        return bytes(answer.content)

    def launch(self, template_id: int, zone: str = "zone1") -> int:
        """Deploy a template under its name with fourteen digits; the slice is the first of the list then."""
        name = f"{self.template(template_id)['name']}-20261128185500"
        body = {"name": name, "zone_hint": zone, "template_id": template_id}
        begun = self._json("POST", "/deployments/trigger", body)
        read(begun, "worker_job_id", "status", "message", "details")
        assert begun["success"] is True
        return int(self.slices()[0]["slice_id"])

    def slices(self) -> list[dict[str, Any]]:
        """The page with all slices, which it calls projects."""
        rows = self._json("GET", "/slices")
        assert isinstance(rows, list)
        for row in rows:
            read(row, "slice_id", "name", "description")
            assert (row["status"] or "PENDING").isupper()
            assert moment(row["created_at"])
        made = [datetime.fromisoformat(row["created_at"]) for row in rows]
        assert made == sorted(made, reverse=True), "the newest stands first"
        return rows

    def slice(self, slice_id: int) -> dict[str, Any]:
        """The page of one: it loads the template too, and finds each VM by the name in the document.

        Returns:
            ``status``, ``vlans`` (their number), and ``vms`` by the id in the document; None for one that is not found
            and is shown as not deployed.
        """
        row = self._json("GET", f"/slices/{slice_id}/details")
        read(row, "name", "created_at", "template_id")
        assert row["slice_id"] == slice_id
        drawn = self.template(row["template_id"])["json_template"]["recursos"]
        ports = {port["vm_id"]: read(port, "port_number")[0] for port in row["vnc_ports"]}
        for vm in row["vms"]:
            read(vm, "vm_id", "name", "worker_ip")
            assert vm["status"].isupper()
        found = {
            ident: next((vm for vm in row["vms"] if vm["name"] == entry["name"]), None)
            for ident, entry in drawn.items()
        }
        facts = {"status": row["status"], "vlans": len(row["vlans"]), "ports": ports, "raw": row}
        return facts | {"name": row["name"], "vms": found}

    def destroy(self, slice_id: int) -> str:
        """Give a slice back; the list that is loaded then does not show it any more. The note that the page shows."""
        headers = {"Content-Type": "application/json"}
        answer = self._json("POST", f"/slices/{slice_id}/destroy", headers=headers)
        read(answer, "message", "deployment_response")
        assert answer["slice_id"] == slice_id
        read(answer["resources_released"], "vlans", "vnc_ports")
        assert slice_id not in {row["slice_id"] for row in self.slices()}
        return str(answer.get("note") or "")
