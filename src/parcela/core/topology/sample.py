"""Two small templates: what ``make run`` shows first, and the least that can be launched."""

from parcela.core.topology.document import Route, TemplateEdge, TemplateVm, TopologyDocument, VmEnd

TINY = "tiny"  # name of the bundled image and of the flavour made for it


def sample_topology() -> TopologyDocument:
    """Draw client - router - server over two edges, and one VM alone with public access.

    The client reaches the server by its default gateway, the server the client by a static route.
    """
    return TopologyDocument(
        vms=(
            TemplateVm(name="client", image=TINY, flavour=TINY, gateway="10.0.1.1", x=0, y=0),
            TemplateVm(name="router", image=TINY, flavour=TINY, forward=True, x=240, y=0),
            TemplateVm(
                name="server",
                image=TINY,
                flavour=TINY,
                routes=(Route(to="10.0.1.0/24", via="10.0.2.1"),),
                x=480,
                y=0,
            ),
            TemplateVm(name="outside", image=TINY, flavour=TINY, public_access=True, x=240, y=200),
        ),
        edges=(
            TemplateEdge(
                name="client-router",
                a=VmEnd(vm="client", address="10.0.1.2/24"),
                b=VmEnd(vm="router", address="10.0.1.1/24"),
            ),
            TemplateEdge(
                name="router-server",
                a=VmEnd(vm="router", address="10.0.2.1/24"),
                b=VmEnd(vm="server", address="10.0.2.2/24"),
            ),
        ),
    )


def one_vm_topology() -> TopologyDocument:
    """Draw a single VM without any NIC."""
    return TopologyDocument(vms=(TemplateVm(name="vm1", image=TINY, flavour=TINY),))
