"""What goes on to a screen of what a VNC viewer sends, typing or looking on."""

import struct

import pytest

from parcela.services.compute.consoles.rfb_input import RfbInput

HELLO = b"RFB 003.008\n" + b"\x01" + b"\x00"
SHOWS = [
    b"\x00" * 4 + bytes(16),
    b"\x02\x00" + struct.pack(">H", 2) + bytes(8),
    b"\x03" + bytes(9),
    b"\x96" + bytes(9),
    b"\xf8" + bytes(7) + b"\x03abc",
]
ACTS = [
    b"\x04\x01" + bytes(2) + struct.pack(">I", 97),
    b"\x05\x01" + bytes(4),
    b"\x06" + bytes(3) + struct.pack(">i", 3) + b"abc",
    b"\x06" + bytes(3) + struct.pack(">i", -4) + b"abcd",
    b"\xfa\x00\x01\x02",
    b"\xfb" + bytes(5) + b"\x01\x00" + bytes(16),
    b"\xff\x00" + b"\x00\x01" + bytes(8),
]


def greeted() -> RfbInput:
    made = RfbInput()
    assert made.feed(HELLO, types=True) == b"RFB 003.008\n\x01\x01", "it asks to share the screen, whatever it wanted"
    return made


@pytest.mark.parametrize("message", SHOWS)
def test_who_looks_on_still_asks_for_pictures(message: bytes) -> None:
    assert greeted().feed(message, types=False) == message


@pytest.mark.parametrize("message", ACTS)
def test_who_looks_on_does_nothing_to_the_guest(message: bytes) -> None:
    assert greeted().feed(message, types=False) == b""
    assert greeted().feed(message, types=True) == message


@pytest.mark.parametrize("types", [True, False])
def test_messages_may_be_cut_anywhere(types: bool) -> None:
    whole = HELLO + b"".join(SHOWS + ACTS + SHOWS)
    in_one, by_byte = RfbInput(), RfbInput()
    expected = in_one.feed(whole, types=types)
    assert b"".join(by_byte.feed(bytes([byte]), types=types) for byte in whole) == expected
    assert expected.endswith(b"".join(SHOWS))


def test_a_key_that_was_pressed_is_released_after_the_keyboard_went_elsewhere() -> None:
    viewer = greeted()
    down = [
        b"\x04\x01" + bytes(2) + struct.pack(">I", 0xFFE1),
        b"\x05\x01\x00\x05\x00\x05",
        b"\xff\x00\x00\x01" + struct.pack(">II", 0xFFE1, 42),
    ]
    up = [down[0][:1] + b"\x00" + down[0][2:], b"\x05\x00" + down[1][2:], b"\xff\x00\x00\x00" + down[2][4:]]
    for message in down:
        assert viewer.feed(message, types=True) == message
    for message in up:
        assert viewer.feed(message, types=False) == message
        assert viewer.feed(message, types=False) == b"", "once"


def test_the_oldest_viewers_choose_no_security() -> None:
    assert RfbInput().feed(b"RFB 003.003\n\x00", types=True) == b"RFB 003.003\n\x01"


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n", b"RFB 003.008\n\x02", HELLO + b"\x63", HELLO + b"\x06\0\0\0\x7f\xff\xff\xff"]
)
def test_what_cannot_be_read_ends_it(data: bytes) -> None:
    with pytest.raises(ConnectionError):
        RfbInput().feed(data, types=True)
