"""Hypothesis strategies of topologies that can be launched, shared by the tests of this folder."""

from typing import Any

from hypothesis import strategies as st

from parcela.core.labels import label_fault, tidy
from parcela.core.topology.catalogue import Catalogue, FlavourInfo, ImageInfo
from parcela.core.topology.document import (
    NetworkEnd,
    TemplateEdge,
    TemplateNetwork,
    TemplateVm,
    TopologyDocument,
    VmEnd,
)

CATALOGUE = Catalogue(
    flavours={"tiny": FlavourInfo(7, "tiny", 1, 128, 1)},
    images={"tiny": ImageInfo(3, "tiny", min_memory_mib=128), "debian": ImageInfo(4, "debian")},
)

_coordinates = st.floats(-1e6, 1e6)
_shown = st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"], exclude_characters="<>")
_labels = st.text(_shown, min_size=1, max_size=100).filter(lambda text: text.strip() and not label_fault(tidy(text)))


@st.composite
def vms(draw: st.DrawFn, name: str) -> TemplateVm:
    flavoured = draw(st.booleans())
    absent = st.none() if flavoured else st.nothing()
    label = draw(st.none() | _labels)
    return TemplateVm(
        name=name,
        label=None if label == name else label,
        image=draw(st.sampled_from(["tiny", "debian"])),
        flavour="tiny" if flavoured else None,
        vcpus=draw(absent | st.integers(1, 128)),
        memory_mib=draw(absent | st.integers(128, 1_048_576)),
        disk_gib=draw(absent | st.integers(1, 16_384)),
        public_access=draw(st.booleans()),
        x=draw(_coordinates),
        y=draw(_coordinates),
    )


@st.composite
def documents(draw: st.DrawFn, *, networks: bool) -> TopologyDocument:
    """Draw a valid document; without networks it holds nothing that the older ``cloud`` format cannot."""
    names = draw(
        st.lists(
            st.from_regex(r"\A[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\Z"),
            min_size=1,
            max_size=6,
            unique_by=str.casefold,
        )
    )
    lans = draw(st.integers(0, 2)) if networks else 0
    pairs = [(a, b) for a in names for b in names if a != b]
    edges: list[TemplateEdge] = []
    used: dict[str, int] = {}
    count = draw(st.integers(0, 10)) if pairs or lans else 0
    for index in range(count):
        name = f"cable {index}" if draw(st.booleans()) else None
        if lans and (not pairs or draw(st.booleans())):
            ends: list[Any] = [VmEnd(vm=draw(st.sampled_from(names))), NetworkEnd(network=f"lan {index % lans}")]
        else:
            ends = [VmEnd(vm=vm) for vm in draw(st.sampled_from(pairs))]
        members = [end.vm for end in ends if isinstance(end, VmEnd)]
        if any(used.get(vm, 0) >= 7 for vm in members):
            continue
        for vm in members:
            used[vm] = used.get(vm, 0) + 1
        if draw(st.booleans()):
            ends.reverse()
        edges.append(TemplateEdge(name=name, a=ends[0], b=ends[1]))
    return TopologyDocument(
        vms=tuple(draw(vms(name)) for name in names),
        networks=tuple(TemplateNetwork(name=f"lan {index}", mtu=1400) for index in range(lans)),
        edges=tuple(edges),
    )
