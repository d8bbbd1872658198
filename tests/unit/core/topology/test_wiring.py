from parcela.core.topology.document import parse_document
from parcela.core.topology.wiring import Wire, wires


def test_wires_follow_the_document() -> None:
    document = parse_document(
        {
            "networks": [{"name": "lan", "mtu": 1400}],
            "edges": [
                {"a": {"vm": "a"}, "b": {"vm": "b", "address": "10.0.0.1/24"}},
                {"a": {"network": "lan"}, "b": {"vm": "a"}},
                {"a": {"vm": "b"}, "b": {"network": "lan"}, "mtu": 1300},
                {"a": {"network": "lan"}, "b": {"network": "lan"}},
                {"a": {"vm": "b"}, "b": {"network": "gone"}},
            ],
        }
    )
    assert list(wires(document)) == [
        Wire("edges[0].a", "a", None, "edge:0", 0, 1500),
        Wire("edges[0].b", "b", "10.0.0.1/24", "edge:0", 1, 1500),
        Wire("edges[1].b", "a", None, "lan:lan", 1, 1400),
        Wire("edges[2].a", "b", None, "lan:lan", 0, 1300),
        Wire("edges[4].a", "b", None, "lan:gone", 0, 1500),
    ]
