from parcela.core.topology.catalogue import Catalogue, FlavourInfo, ImageInfo
from parcela.core.topology.document import TemplateVm
from parcela.core.topology.sizes import Size, size_of

CATALOGUE = Catalogue(flavours={"mini": FlavourInfo(1, "mini", 1, 2048, 3)})


def test_a_flavour_is_overridden_field_by_field() -> None:
    assert size_of(TemplateVm(name="a", image="i", flavour="mini"), CATALOGUE) == Size(1, 2048, 3)
    assert size_of(TemplateVm(name="a", image="i", flavour="mini", vcpus=4), CATALOGUE) == Size(4, 2048, 3)
    # Zero is a size (a wrong one), not "none given".
    assert size_of(TemplateVm(name="a", image="i", flavour="mini", disk_gib=0), CATALOGUE) == Size(1, 2048, 0)


def test_without_a_known_flavour_only_the_overrides_count() -> None:
    assert size_of(TemplateVm(name="a", image="i"), CATALOGUE) == Size(None, None, None)
    assert size_of(TemplateVm(name="a", image="i", flavour="?", memory_mib=64), CATALOGUE) == Size(None, 64, None)


def test_a_disk_must_hold_the_image_and_what_its_owner_asks_for() -> None:
    assert ImageInfo(1, "i", min_disk_gib=2, virtual_size_gib_rounded_up=3).least_disk_gib == 3
    assert ImageInfo(1, "i", min_disk_gib=4, virtual_size_gib_rounded_up=3).least_disk_gib == 4
