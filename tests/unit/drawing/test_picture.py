import xml.etree.ElementTree as ElementTree

from ringfence.drawing.maps import Area, Arrow, Place, place_map
from ringfence.drawing.page import picture


def test_a_picture_is_one_file_with_its_own_colours():
    drawing = place_map(
        "Walls", "two", [Area("<a>", [Place("one"), Place("two")])], [Arrow("one", "two", "g")]
    )
    root = ElementTree.fromstring(picture(drawing))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root[0].tag.endswith("style")
    assert "--bad" in (root[0].text or "")
    assert root.attrib["viewBox"].startswith("0 0 760 ")
    assert "<a>" in "".join(root.itertext())
