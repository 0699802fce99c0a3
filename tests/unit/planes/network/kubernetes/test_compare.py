from clusters import TWO_PODS, cluster_of

from ringfence.planes.network.kubernetes.compare import compare

HEAD = "---\nkind: NetworkPolicy\nmetadata: {name: p, namespace: vault}\nspec: {podSelector: {}, "


def changes(old: str, new: str) -> list[str]:
    return [str(change) for change in compare(cluster_of(TWO_PODS, old), cluster_of(TWO_PODS, new))]


def test_equal_meaning_in_other_words_is_no_change() -> None:
    one = HEAD + "ingress: [{from: [{namespaceSelector: {}}], ports: [{port: 1}, {port: 2}]}]}"
    other = HEAD.replace("name: p", "name: q") + (
        "ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}],"
        " ports: [{port: 1, endPort: 2}]}]}"
    )

    assert changes(one, other) == []


def test_a_changed_port_is_said_with_both_sides() -> None:
    one = HEAD + "ingress: [{from: [{namespaceSelector: {}}], ports: [{port: 1}]}]}"
    other = HEAD + "ingress: [{from: [{namespaceSelector: {}}], ports: [{port: 2}]}]}"

    assert changes(one, other) == ["changed: shop/web[Pod] => vault/db[Pod] : TCP 1 -> TCP 2"]


def test_ranges_outside_are_exact_and_joined_where_they_change_alike() -> None:
    one = HEAD + "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}"
    other = HEAD + "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.4.0.0/16]}}]}]}"

    assert changes(one, other) == [
        "removed: 10.4.0.0-10.4.255.255[External] => vault/db[Pod] : All Connections -> No Connections"
    ]
    assert changes(other, one) == [
        "added: 10.4.0.0-10.4.255.255[External] => vault/db[Pod] : No Connections -> All Connections"
    ]


def test_a_change_over_several_cuts_is_one_range() -> None:
    one = HEAD + "ingress: []}"
    other = HEAD + "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/9}}, {ipBlock: {cidr: 10.128.0.0/9}}]}]}"

    assert changes(one, other) == [
        "added: 10.0.0.0-10.255.255.255[External] => vault/db[Pod] : No Connections -> All Connections"
    ]


def test_a_new_workload_is_named() -> None:
    pod = "---\nkind: Pod\nmetadata: {name: new, namespace: vault}\n"

    found = changes("", pod)
    assert len(found) == 6
    assert all("vault/new[Pod] is new" in change for change in found)
    assert all("vault/new[Pod] is gone" in change for change in changes(pod, ""))
