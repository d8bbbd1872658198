from parcela.services.idempotency import request_hash


def test_parts_of_a_request_are_kept_apart() -> None:
    seen = {
        request_hash("POST", "/a", b"", b"bc"),
        request_hash("POST", "/ab", b"", b"c"),
        request_hash("POST", "/a", b"bc", b""),
        request_hash("PUT", "/a", b"", b"bc"),
    }
    assert len(seen) == 4


def test_the_same_request_has_the_same_fingerprint() -> None:
    assert request_hash("POST", "/a", b"x=1", b"{}") == request_hash("POST", "/a", b"x=1", b"{}")
