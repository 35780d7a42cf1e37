"""The graph of the models: a box a class, edges to parents, foreign keys when asked."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from c2c_db import generate_model_graph
from c2c_db.models_graph import main

_HERE = Path(__file__).parent


@pytest.fixture
def run(capsys, monkeypatch):
    """Give a function that runs c2c-models-graph in this folder and returns its output."""
    monkeypatch.chdir(_HERE)

    def call(*arguments):
        main(list(arguments))
        return capsys.readouterr().out

    return call


def test_graph(run):
    """Each class has a box with its own columns and relationships, and an edge to each parent."""
    assert (
        run("graph_models")
        == """\
digraph models {
  rankdir = BT;
  node [shape = box, fontname = Helvetica, fontsize = 10];
  edge [fontname = Helvetica, fontsize = 9];
  "Dated" [label = "Dated\\n\\ncreated [null]\\l"];
  "Employee" [label = "Employee\\n\\nsalary\\l"];
  "Guest" [label = "Guest\\n\\nnickname [null]\\l"];
  "Letter" [label = "Letter\\n\\nid\\lauthor_id\\lodd\\lauthor -> Person\\l"];
  "Person" [label = "Person\\n\\nid\\lname [null]\\lkind\\lboss_id [null]\\lletters -> Letter\\lfriends -> Person\\l"];
  "Employee" -> "Person" [arrowhead = onormal];
  "Guest" -> "Person" [arrowhead = onormal];
  "Person" -> "Dated" [arrowhead = onormal];
}
"""
    )


def test_relations(run):
    """Foreign keys are edges between classes, also to the class itself; not the one that ties a child to its parent."""
    edges = [line.strip() for line in run("graph_models", "--relations").splitlines() if "dashed" in line]
    assert edges == [
        '"Letter" -> "Person" [label = "author_id", style = dashed];',
        '"Person" -> "Person" [label = "boss_id", style = dashed];',
    ]


def test_other_base(run):
    """Another base has its own classes."""
    graph = run("graph_models", "OtherBase")
    assert '"Alone"' in graph
    assert '"Person"' not in graph


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["graph_models", "Missing"],
            "module graph_models has no Missing: name the declarative base, as in MODULE MyBase",
        ),
        (["graph_models", "NotABase"], "graph_models.NotABase is no declarative base of SQLAlchemy"),
        (["no_such_module"], "no_such_module can't be imported: ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_errors(run, capsys, arguments, message):
    """What can't be drawn is one line on standard error, and exit status 2."""
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"c2c-models-graph: {message}\n"


def test_models_that_can_not_be_mapped(tmp_path):
    """Are one line, too."""
    (tmp_path / "broken_models.py").write_text(
        "from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship\n"
        "class Base(DeclarativeBase): pass\n"
        "class One(Base):\n"
        "    __tablename__ = 'one'\n"
        "    id: Mapped[int] = mapped_column(primary_key=True)\n"
        "    other = relationship('Nowhere')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", "from c2c_db.models_graph import main; main(['broken_models'])"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("c2c-models-graph: the classes of broken_models can't be mapped: ")
    assert done.stderr.count("\n") == 1


def test_script(tmp_path):
    """A script of the application's draws the base that its argument names."""
    script = tmp_path / "models_graph.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(_HERE)!r})\nimport graph_models\n"
        "from c2c_db import generate_model_graph\n"
        "generate_model_graph(graph_models)\n"
    )
    done = subprocess.run([sys.executable, script, "OtherBase"], capture_output=True, text=True, check=True)
    assert '"Alone"' in done.stdout


def test_script_in_process(run, capsys):
    """The script's base is Base without an argument; one that is missing is one line, and exit status 2."""
    run("graph_models")
    module = sys.modules["graph_models"]
    generate_model_graph(module, [])
    assert '"Person"' in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        generate_model_graph(module, ["Missing"])
    assert stopped.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1


def test_svg(run, tmp_path, monkeypatch, capsys):
    """With Graphviz --svg draws; without it, one line says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as stopped:
        run("graph_models", "--svg")
    assert stopped.value.code == 2
    assert "needs Graphviz" in capsys.readouterr().err
    # A program of the same name stands for Graphviz: it gets the graph, and its output is printed.
    program = tmp_path / "dot"
    program.write_text(f'#!{sys.executable}\nimport sys\nprint("<svg>" + str(sys.argv[1:]) + sys.stdin.read()[:7])\n')
    program.chmod(0o755)
    assert run("graph_models", "--svg") == "<svg>['-Tsvg']digraph\n"
    program.write_text("#!/bin/false\n")
    with pytest.raises(SystemExit):
        run("graph_models", "--svg")


def test_entry_point():
    """The command is installed."""
    program = shutil.which("c2c-models-graph", path=str(Path(sys.executable).parent))
    assert program
    done = subprocess.run([program, "--help"], capture_output=True, text=True, check=True)
    assert "--relations" in done.stdout
