"""Logging in and out, personal tokens, users."""

import json
import stat
from pathlib import Path

import httpx2
import pyotp
import pytest

from tests.integration.cli.conftest import ADMIN, PASSWORD, Server, done
from tests.unit.cli.support import run


def test_a_session_is_saved_used_and_ended(strangers: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("whoami").code == 3
    made = done(run("login", "--email", ADMIN, "--password-stdin", "--json", stdin=PASSWORD))
    assert made.json == {"server": strangers.url, "email": ADMIN, "saved_in": str(tmp_path / "cli.json")}
    assert stat.S_IMODE((tmp_path / "cli.json").stat().st_mode) == 0o600
    assert PASSWORD not in (tmp_path / "cli.json").read_text()
    assert done(run("whoami", "--json")).json["email"] == ADMIN
    token = json.loads((tmp_path / "cli.json").read_text())["servers"][strangers.url]["access_token"]
    assert done(run("logout")).out == f"Logged out of {strangers.url}.\n"
    assert run("whoami").code == 3
    monkeypatch.setenv("PARCELA_TOKEN", token)
    assert run("whoami", "--json").problem["code"] == "token_revoked"


def test_a_wrong_password(strangers: Server) -> None:
    refused = run("login", "--email", ADMIN, "--password-stdin", "--json", stdin="wrong")
    assert refused.code == 3
    assert refused.out == ""
    assert refused.problem["status"] == 401
    assert not Path("cli.json").exists()


def test_a_second_factor(admin: Server) -> None:
    name = "coded"
    done(run("user", "create", f"{name}@lab.example", "--password-stdin", stdin="correct horse\n"))
    login = ("login", "--email", name, "--password-stdin", "--json")
    done(run(*login, stdin="correct horse\n"))
    token = json.loads(Path("cli.json").read_text())["servers"][admin.url]["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    with httpx2.Client(base_url=f"{admin.url}/api/v1", headers=headers, timeout=60) as http:
        secret = http.post("/second-factor", json={"password": "correct horse"}).json()["secret"]
        code = pyotp.TOTP(secret).now()
        codes = http.post("/second-factor/confirm", json={"code": code}).json()["recovery_codes"]
    refused = run(*login, stdin="correct horse\n")
    assert (refused.code, refused.problem["code"]) == (3, "totp_required")
    done(run(*login, "--code", codes[0], stdin="correct horse\n"))
    sessions = done(run("session", "list", "--json")).json
    assert [session["current"] for session in sessions] == [True, False]
    done(run("session", "end", sessions[1]["id"][:8], "--json"))
    done(run("session", "end", "--others", "--yes"))
    assert run("session", "end").code == 2
    assert run("session", "end", sessions[1]["id"], "--json").problem["code"] == "session_not_found"
    done(run("login", "--email", ADMIN, "--password-stdin", stdin=f"{PASSWORD}\n"))
    done(run("user", "reset-factor", name, "--yes"))
    done(run(*login, stdin="correct horse\n"))


def test_without_a_terminal_the_password_comes_from_stdin(strangers: Server) -> None:
    assert run("login", "--email", ADMIN).code == 2
    assert run("login", "--password-stdin", stdin=PASSWORD).code == 2


def test_a_damaged_access_token_is_no_crash(admin: Server, tmp_path: Path) -> None:
    saved = json.loads((tmp_path / "cli.json").read_text())
    saved["servers"][admin.url]["access_token"] = "x"
    (tmp_path / "cli.json").write_text(json.dumps(saved))
    assert run("whoami").code == 3


def test_the_session_of_one_server_does_not_go_to_another(admin: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELA_URL", admin.url.replace("127.0.0.1", "localhost"))
    assert run("whoami").code == 3
    assert done(run("--url", admin.url, "whoami", "--json")).json["server"] == admin.url


def test_personal_tokens(admin: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    made = done(run("token", "create", "robot", "--scope", "vm:*", "--expires-in", "1h", "--json")).json
    plain = done(run("token", "create", "secret-only")).out.strip()
    assert plain.startswith("pcl_")
    assert {row["name"] for row in done(run("token", "list", "--json")).json} >= {"robot", "secret-only"}
    old = done(run("token", "create", "script", "--vm-api", "--json")).json
    speaking = {row["name"]: row["speaks_vm_api"] for row in done(run("token", "list", "--json")).json}
    assert (old["speaks_vm_api"], speaking["script"], speaking["robot"]) == (True, True, False)
    assert "FOR VM_API" in done(run("token", "list")).out
    with monkeypatch.context() as speaking_otherwise:
        speaking_otherwise.setenv("PARCELA_TOKEN", old["token"])
        refused = run("vm", "list")
        assert (refused.code, "made for the older API vm_api" in refused.err) == (4, True)
    monkeypatch.setenv("PARCELA_TOKEN", made["token"])
    assert done(run("whoami", "--json")).json["scopes"] == ["vm:*"]
    assert run("user", "list").code == 4
    monkeypatch.delenv("PARCELA_TOKEN")
    done(run("token", "revoke", "robot"))
    done(run("token", "revoke", "secret-only"))
    assert run("token", "revoke", "robot").code == 4
    monkeypatch.setenv("PARCELA_TOKEN", made["token"])
    assert run("whoami").code == 3


def test_users(admin: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = done(
        run("user", "create", "ana@lab.example", "--name", "Ana", "--password-stdin", "--json", stdin="first pass\n")
    )
    assert (made.json["username"], made.json["role"]) == ("ana", "client")
    assert run("user", "create", "ana@lab.example", "--password-stdin", stdin="first pass\n").code == 5
    assert run("user", "create", "ben@lab.example", "--password-stdin", stdin="x\n").code == 6
    assert [row["email"] for row in done(run("user", "list", "--search", "ana", "--json")).json] == ["ana@lab.example"]
    done(run("user", "password", "ana", "--password-stdin", stdin="second pass\n"))
    with monkeypatch.context() as ana:
        ana.setenv("PARCELA_CONFIG", str(tmp_path / "ana.json"))
        done(run("login", "--email", "ana", "--password-stdin", stdin="second pass\n"))
        assert run("user", "list").code == 4
        assert run("user", "delete", "admin", "--yes").code == 4
        done(run("user", "password", "--password-stdin", stdin="second pass\nthird passing\n"))
        assert run("user", "password", "--password-stdin", stdin="second pass\nfourth pass\n").code == 6
    done(run("user", "delete", "ana@lab.example", "--yes"))
    assert run("user", "delete", "ana@lab.example").code == 4
