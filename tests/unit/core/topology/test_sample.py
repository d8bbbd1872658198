from parcela.core.topology.catalogue import Catalogue, FlavourInfo, ImageInfo
from parcela.core.topology.expand import expand
from parcela.core.topology.sample import one_vm_topology, sample_topology

TINY = Catalogue(
    flavours={"tiny": FlavourInfo(1, "tiny", 1, 128, 1)},
    images={"tiny": ImageInfo(1, "tiny", min_memory_mib=128)},
)


def test_the_sample_can_be_launched() -> None:
    plan = expand(sample_topology(), TINY)
    assert [vm.name for vm in plan.vms] == ["client", "router", "server", "outside"]
    assert [len(vm.nics) for vm in plan.vms] == [1, 2, 1, 1]
    assert [segment.name for segment in plan.segments] == ["client-router", "router-server"]
    assert [vm.forward for vm in plan.vms] == [False, True, False, False]
    assert [vm.name for vm in plan.vms if any(nic.is_public for nic in vm.nics)] == ["outside"]


def test_both_ways_lead_over_the_router() -> None:
    client, router, server, _ = expand(sample_topology(), TINY).vms
    assert [nic.address for nic in router.nics] == ["10.0.1.1/24", "10.0.2.1/24"]
    assert client.gateway == "10.0.1.1"
    assert server.routes == (("10.0.1.0/24", "10.0.2.1"),)


def test_one_vm() -> None:
    plan = expand(one_vm_topology(), TINY)
    assert [(vm.name, vm.nics) for vm in plan.vms] == [("vm1", ())]
    assert plan.segments == ()
