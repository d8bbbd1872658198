"""How a domain is started: what passes is tried again, and a limit that the host refuses is left out."""

from typing import Any

import pytest

pytest.importorskip("libvirt")

import libvirt

from parcela.hypervisors.libvirt.power import START_ATTEMPTS, PowerActions

LIMITED = "<domain><name>web</name><cputune><period>100000</period><quota>100000</quota></cputune></domain>"
BROKEN_OFF = "failed to load cgroup BPF prog: Resource temporarily unavailable"
REFUSED = "unable to write to the cgroup's cpu.max: Invalid argument"


class SaidError(libvirt.libvirtError):  # type: ignore[misc]
    def __init__(self, text: str) -> None:
        Exception.__init__(self, text)
        self.err = (libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_CGROUP, text, 2, "", "", "", -1, -1)


class Domain:
    """A domain whose starts fail with these texts, one after the other, and then succeed."""

    def __init__(self, *texts: str, xml: str = LIMITED) -> None:
        self.texts = list(texts)
        self.xml = xml
        self.starts = 0

    def createWithFlags(self, flags: int) -> None:  # noqa: N802 (libvirt's)
        self.starts += 1
        if self.texts:
            raise SaidError(self.texts.pop(0))

    def isActive(self) -> bool:  # noqa: N802 (libvirt's)
        return False

    def XMLDesc(self, flags: int) -> str:  # noqa: N802 (libvirt's)
        return self.xml

    def defineXML(self, xml: str) -> "Domain":  # noqa: N802 (libvirt's; it stands for the connection, too)
        self.xml = xml
        return self


class Host:
    name = "rack1"
    cpu_limits_refused = False


def start(domain: Domain) -> Host:
    actions: Any = PowerActions()
    actions._host = Host()
    actions._create(domain, domain, paused=False)
    host: Host = actions._host
    return host


@pytest.mark.parametrize("xml", [LIMITED, "<domain><name>web</name></domain>"])
def test_a_check_that_a_signal_broke_off_is_repeated_and_no_refusal(xml: str) -> None:
    domain = Domain(*[BROKEN_OFF] * (START_ATTEMPTS - 1), xml=xml)
    assert not start(domain).cpu_limits_refused
    assert (domain.starts, domain.xml) == (START_ATTEMPTS, xml)


def test_one_that_is_always_broken_off_fails_and_keeps_its_limit() -> None:
    domain = Domain(*[BROKEN_OFF] * (START_ATTEMPTS + 1))
    with pytest.raises(libvirt.libvirtError, match="BPF"):
        start(domain)
    assert (domain.starts, domain.xml) == (START_ATTEMPTS, LIMITED)


def test_a_limit_that_the_host_refuses_is_left_out() -> None:
    domain = Domain(REFUSED, BROKEN_OFF)
    assert start(domain).cpu_limits_refused
    assert (domain.starts, "cputune" in domain.xml) == (3, False)


def test_another_failure_is_told_at_once() -> None:
    domain = Domain("internal error: cannot fork: Resource temporarily unavailable")
    with pytest.raises(libvirt.libvirtError):
        start(domain)
    assert domain.starts == 1
