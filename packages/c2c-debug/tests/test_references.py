"""Graphs of references."""

import re

import pytest

_ATTRIBUTE = r'\w+=(?:"(?:[^"\\]|\\.)*"|#?\w+)(?:, )?'
_LINE = re.compile(rf"  (?:(?:node|edge|n\d+|m\d+|[nm]\d+ -> [nm]\d+)(?: \[(?:{_ATTRIBUTE})*\])?;|//.*)")


class Node:
    """Something in a graph."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)


NODE = f"{__name__}.Node"


def _graph(service, query):
    answer = service.get(f"/debug/show_refs.dot?{query}")
    assert answer.content_type == "text/vnd.graphviz"
    text = answer.text
    assert text.startswith("digraph references {\n")
    assert text.endswith("}\n")
    for line in text.splitlines()[1:-1]:
        assert _LINE.fullmatch(line), line
    return text


def test_what_an_object_refers_to(service):
    """Its type, identifier and size, what it holds, by which names, and what that holds."""
    kept = Node(child=Node(leaf=["a leaf's list"]))
    text = _graph(service, f"analyze_id={id(kept)}&max_depth=5")
    assert f"id {id(kept)}, " in text
    assert f"id {id(kept.child)}, " in text
    assert '[label="child"]' in text
    assert '[label="leaf"]' in text
    assert "'a leaf's list'" in text.replace('\\"', "'")
    assert re.search(r"builtins\.list\\n1 items\\nid \d+, \d+\.\d kB", text)


def test_of_a_type(service):
    """All objects of the type are roots."""
    kept = [Node(number=number) for number in range(3)]
    text = _graph(service, f"analyze_type={NODE}&max_depth=1&no_extra_info")
    assert text.count('fillcolor="#ffb3b3"') == 3
    assert "kB" not in text
    assert kept


def test_what_refers_to_it(service):
    """With ``backrefs`` the holders are shown, and how they call it."""
    target = Node()
    holder = {"held by this key": target}
    text = _graph(service, f"analyze_id={id(target)}&max_depth=1&backrefs")
    assert f"id {id(holder)}, " in text
    assert '[label="held by this key"]' in text


def test_depth_and_number_are_bounded(service):
    """``max_depth`` and ``too_many`` cut, and the graph says what it leaves out."""
    kept = Node(many=[Node() for _ in range(50)])
    text = _graph(service, f"analyze_id={id(kept)}&max_depth=4&too_many=7")
    assert re.search(r'label="43 more"', text)
    assert text.count(f'label="{NODE}\\n') == 8  # the root, and seven of the list's
    assert _graph(service, f"analyze_id={id(kept)}&max_depth=0").count("fillcolor=") == 2
    assert "stopped at 1000 nodes" in _graph(service, "analyze_type=builtins.dict&max_depth=20&too_many=1000")


@pytest.mark.parametrize("name", ["filter", "min_size_kb"])
def test_small_ones_are_left_out(service, name):
    """Objects that hold less than so many kB are not shown."""
    kept = Node(small=["a small one"], big=["a big one" + "x" * 50_000])
    text = _graph(service, f"analyze_id={id(kept)}&max_depth=5&{name}=10")
    assert "a big one" in text
    assert "a small one" not in text


def test_graphs_show_no_secret(service):
    """What is called a password, and what is known or looks like one, is masked."""
    kept = Node(password="hunter2", url="postgresql://me:hunter3@host/db", key="an-operators-secret-of-some-length")
    text = _graph(service, f"analyze_id={id(kept)}&max_depth=3")
    assert "hunter" not in text
    assert "operators-secret" not in text
    assert '[label="password"]' in text


def test_odd_texts_stay_inside_their_labels(service):
    """Quotes, backslashes and control characters in what objects say do not break the graph."""
    kept = Node(**{'a"]; evil [label="': 'x"\\', "line\nbreak": "\x00\x1b[31m"})
    assert "evil" in _graph(service, f"analyze_id={id(kept)}&max_depth=3")


def test_graphviz_reads_it(service):
    """Graphviz itself takes the graph (its Python wheel brings the program)."""
    import pygraphviz

    kept = Node(many=[Node(name='a "quoted" \\ one') for _ in range(5)])
    graph = pygraphviz.AGraph(string=_graph(service, f"analyze_id={id(kept)}&max_depth=5"))
    assert len(graph.nodes()) > 5
    assert b"<svg" in graph.draw(format="svg", prog="dot")


class SubNode(Node):
    """A node that is found by its base class."""


def test_a_base_class_finds_those_below(service):
    """As in ``memory``."""
    kept = SubNode(name="below")
    assert f"{SubNode.__module__}.SubNode" in service.get(f"/debug/show_refs.dot?analyze_type={NODE}&max_depth=0").text
    assert kept


def test_unknown_ones_are_404(service):
    """A type that has no objects is a 404 with near matches; so is an identifier of nothing."""
    kept = Node()
    message = service.get("/debug/show_refs.dot?analyze_type=builtins.functin", status=404).json["message"]
    assert "builtins.function" in message
    message = service.get("/debug/show_refs.dot?analyze_type=wrong.module.Node", status=404).json["message"]
    assert NODE in message
    message = service.get("/debug/show_refs.dot?analyze_type=Nodd", status=404).json["message"]
    assert NODE in message
    service.get("/debug/show_refs.dot?analyze_id=12345", status=404)
    assert kept


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "Give analyze_type"),
        ("analyze_type=dict&analyze_id=1", "Give analyze_type"),
        ("analyze_id=x", "analyze_id"),
        ("analyze_id=-1", "analyze_id"),
        ("analyze_id=" + "9" * 40, "analyze_id"),
        ("analyze_type=dict&max_depth=21", "max_depth"),
        ("analyze_type=dict&max_depth=x", "max_depth"),
        ("analyze_type=dict&too_many=-1", "too_many"),
        ("analyze_type=dict&filter=nan", "filter"),
        ("analyze_type=dict&filter=1_0", "filter must be a number from 0 to 1073741824, not"),
        ("analyze_type=dict&min_size_kb=-1", "min_size_kb"),
        ("analyze_type=dict&backrefs=perhaps", "backrefs"),
    ],
)
def test_bad_parameters(service, query, names):
    """A 400 says which parameter and what it may be."""
    assert service.get(f"/debug/show_refs.dot?{query}", status=400).json["message"].startswith(names)
